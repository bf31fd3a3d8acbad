"""Errors of keypoints: distance, keypoint similarity, and the kinds of coco-analyze (jitter, inversion, swap, miss)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

ERROR_KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
LOW, HIGH = 0.5, 0.85  # keypoint similarities that bound jitter


@dataclass
class EvaluatedPerson:
    """A predicted person and its annotation, in pixels of the image."""

    image_path: str
    image_id: int  # the persons of an image share it
    instance_id: int  # number of the annotation
    keypoints: np.ndarray  # (K, 2), predicted (x, y)
    target: np.ndarray  # (K, 2), annotated (x, y)
    labelled: np.ndarray  # (K,) bool, whether a keypoint is annotated
    box: np.ndarray  # (4,), annotated box as x1, y1, x2, y2
    area: float  # of the person in square pixels of the image, as OKS uses it


@dataclass
class ErrorAnalysis:
    """Errors of N persons with K keypoints.

    Attributes:
        distance: (N, K), distance from the annotation over the longer side of the box; NaN if not annotated.
        similarity: (N, K), keypoint similarity with the annotation, in [0, 1]; NaN if not annotated. ``None`` if the
            data set has no sigmas.
        kinds: (N, K), index in :data:`ERROR_KINDS`; -1 if not annotated. ``None`` if the data set has no sigmas.
    """

    distance: np.ndarray
    similarity: np.ndarray | None = None
    kinds: np.ndarray | None = None

    @property
    def labelled(self) -> np.ndarray:
        """(N, K), whether a keypoint is annotated."""
        return ~np.isnan(self.distance)

    @property
    def oks(self) -> np.ndarray:
        """(N,), object keypoint similarity of each person; NaN for a person without annotated keypoints."""
        return _mean(np.asarray(self.similarity))

    @property
    def mean_distance(self) -> np.ndarray:
        """(N,), mean distance of each person; NaN for a person without annotated keypoints."""
        return _mean(self.distance)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row without NaN; NaN where there is no other value."""
    number = (~np.isnan(values)).sum(1)
    return np.where(number > 0, np.nansum(values, 1) / np.maximum(number, 1), np.nan)


def keypoint_similarity(
    predicted: np.ndarray, target: np.ndarray, area: float | np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """The term of each keypoint in COCO's OKS: exp(-d^2 / (2 (2 sigma)^2 area)).

    Args:
        predicted: (..., K, 2), in pixels.
        target: (..., K, 2), in pixels.
        area: Area of the annotated person in square pixels; a float, or an array that broadcasts to (..., K).
        sigmas: (K,), the data set's sigmas.

    Returns:
        (..., K), in [0, 1].
    """
    squared = ((predicted - target) ** 2).sum(-1)
    return np.exp(-squared / (2 * (2 * sigmas) ** 2 * (area + np.spacing(1))))


def classify_keypoints(
    person: EvaluatedPerson, others: Sequence[EvaluatedPerson], flip_indices: Sequence[int], sigmas: np.ndarray
) -> np.ndarray:
    """The kind of error of each keypoint, as coco-analyze defines it.

    The predicted keypoint is compared with the annotated keypoint, with its left or right counterpart, and with both of
    every other person in the image. The annotation with the largest keypoint similarity decides:

    - miss: the largest similarity is below 0.5;
    - good: it is that of the annotated keypoint and above 0.85;
    - jitter: it is that of the annotated keypoint, 0.5 to 0.85;
    - inversion: it is that of the counterpart;
    - swap: it is that of another person.

    Source: Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017,
    section 3. coco-analyze matches predictions and annotations first; here the prediction for an annotated box belongs
    to its annotation.

    Returns (K,), index in :data:`ERROR_KINDS`; -1 for keypoints that are not annotated. ``others`` are the other
    annotated persons of the image, ``flip_indices`` give for each keypoint its left or right counterpart, or itself.
    """
    rows = []  # first the person and the counterpart, then the same of the others
    for candidate in (person, *others):
        for order in (slice(None), list(flip_indices)):
            similarity = keypoint_similarity(person.keypoints, candidate.target[order], candidate.area, sigmas)
            rows.append(np.where(candidate.labelled[order], similarity, -1.0))
    largest, nearest = np.max(rows, 0), np.argmax(rows, 0)  # the first of equal ones
    own = nearest == 0
    kinds = np.select(
        [largest < LOW, own & (largest > HIGH), own, nearest == 1], [MISS, GOOD, JITTER, INVERSION], default=SWAP
    )
    return np.where(person.labelled, kinds, -1)


def analyse_errors(persons: Sequence[EvaluatedPerson], flip_indices: Sequence[int], sigmas: ArrayLike) -> ErrorAnalysis:
    """Compute the errors of persons.

    Args:
        persons: The persons of a data set.
        flip_indices: For each of the K keypoints its left or right counterpart, or itself.
        sigmas: The K sigmas of the data set. Some data sets of MMPose have none: then similarities and kinds are
            ``None``.

    Returns:
        Distances, similarities and kinds, in the order of the persons.
    """
    sigmas = np.asarray(sigmas, dtype=float)
    by_image: dict[int, list[EvaluatedPerson]] = defaultdict(list)
    for person in persons:
        by_image[person.image_id].append(person)
    distance, similarity, kinds = [], [], []
    for person in persons:
        longer = max(*(person.box[2:] - person.box[:2]), np.spacing(1))
        error = np.linalg.norm(person.keypoints - person.target, axis=-1) / longer
        distance.append(np.where(person.labelled, error, np.nan))
        if sigmas.size:
            others = [other for other in by_image[person.image_id] if other is not person]
            own = keypoint_similarity(person.keypoints, person.target, person.area, sigmas)
            similarity.append(np.where(person.labelled, own, np.nan))
            kinds.append(classify_keypoints(person, others, flip_indices, sigmas))
    return ErrorAnalysis(np.array(distance), *(map(np.array, (similarity, kinds)) if sigmas.size else ()))

"""Follow persons through a video by the overlap of their boxes, and smooth their keypoints."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from mmdet.evaluation.functional import bbox_overlaps
from scipy.optimize import linear_sum_assignment

from .predictor import Prediction


def track(predictions: Iterable[Prediction], min_iou: float = 0.3, max_missing: int = 15) -> Iterator[Prediction]:
    """Assign track numbers to the persons of videos.

    A person keeps the number while its boxes in successive frames overlap. Boxes of a frame are assigned to persons
    with the largest sum of IoU. Numbers start at 1 in each video or image.

    Args:
        predictions: Of whole videos, in order; ``track_ids`` (P,) is set.
        min_iou: Smallest IoU of two boxes of the same person.
        max_missing: A person that is missing in more consecutive frames than this gets a new number.

    Yields:
        The predictions.
    """
    name, numbers, last = None, itertools.count(1), {}  # number of a person: (box, frame)
    for prediction in predictions:
        if prediction.name != name:
            name, numbers, last = prediction.name, itertools.count(1), {}
        last = {person: seen for person, seen in last.items() if prediction.index - seen[1] <= max_missing + 1}
        ids = np.zeros(len(prediction.boxes), dtype=int)
        if last and len(ids):
            people = list(last)
            overlaps = bbox_overlaps(prediction.boxes, np.array([last[person][0] for person in people]))
            for row, column in zip(*linear_sum_assignment(overlaps, maximize=True)):
                if overlaps[row, column] >= min_iou:
                    ids[row] = people[column]
        for row in np.flatnonzero(ids == 0):
            ids[row] = next(numbers)
        last.update({int(person): (box, prediction.index) for person, box in zip(ids, prediction.boxes)})
        prediction.track_ids = ids
        yield prediction


class OneEuroFilter:
    """Smooth a signal: strongly while it is at rest, so that it does not jitter, and little while it moves.

    Source: Casiez, Roussel, Vogel: 1 Euro Filter, CHI 2012.

    Args:
        fps: Samples per second.
        min_cutoff: Cutoff frequency at rest, in Hz; lower values jitter less.
        beta: How fast the cutoff frequency grows with the speed; higher values lag less.
        speed_cutoff: Cutoff frequency of the speed, in Hz.
    """

    def __init__(self, fps: float, min_cutoff: float = 1.0, beta: float = 1.0, speed_cutoff: float = 1.0) -> None:
        self.fps, self.min_cutoff, self.beta, self.speed_cutoff = fps, min_cutoff, beta, speed_cutoff
        self.value: np.ndarray | None = None

    def __call__(self, value: np.ndarray, unit: float = 1.0, steps: int = 1) -> np.ndarray:
        """Filter the next sample.

        Args:
            value: The sample, (..., 2); it is not changed.
            unit: The speed is divided by this length, for example the box size in pixels.
            steps: Samples since the last one, above 1 where some are missing.

        Returns:
            The smoothed sample.
        """
        if self.value is None:
            self.value, self.speed = value.astype(float), np.zeros_like(value, dtype=float)
            return self.value
        rate = self.fps / steps
        speed = (value - self.value) * rate
        self.speed = self.speed + _smoothing(rate, self.speed_cutoff) * (speed - self.speed)
        size = np.linalg.norm(self.speed, axis=-1, keepdims=True) / unit
        self.value = self.value + _smoothing(rate, self.min_cutoff + self.beta * size) * (value - self.value)
        return self.value


def _smoothing(rate: float, cutoff: float | np.ndarray) -> float | np.ndarray:
    ratio = 2 * np.pi * cutoff / rate
    return ratio / (ratio + 1)


def smooth(predictions: Iterable[Prediction], min_cutoff: float = 1.0, beta: float = 1.0) -> Iterator[Prediction]:
    """Smooth the keypoints of each numbered person in a video with a One-Euro filter.

    The speed is measured in box sizes per second, so that the same settings suit persons of any size.

    Args:
        predictions: From :func:`track`; ``keypoints`` are replaced.
        min_cutoff: See :class:`OneEuroFilter`.
        beta: See :class:`OneEuroFilter`.

    Yields:
        The predictions.
    """
    name, filters = None, {}  # number of a person: (filter, last frame)
    for prediction in predictions:
        if prediction.name != name:
            name, filters = prediction.name, {}
        if prediction.source.fps is not None and prediction.track_ids is not None:  # a video
            keypoints = np.array(prediction.keypoints, dtype=float)
            for row, person in enumerate(prediction.track_ids):
                filtered, last = filters.get(person) or (
                    OneEuroFilter(prediction.source.fps, min_cutoff, beta),
                    prediction.index - 1,
                )
                size = float((prediction.boxes[row, 2:] - prediction.boxes[row, :2]).max())
                keypoints[row] = filtered(keypoints[row], size, prediction.index - last)
                filters[person] = (filtered, prediction.index)
            prediction.keypoints = keypoints
        yield prediction

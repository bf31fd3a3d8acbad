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
    for _, frames in itertools.groupby(predictions, key=lambda prediction: prediction.name):
        numbers, last = itertools.count(1), {}  # number of a person: (box, frame)
        for frame in frames:
            last = {person: seen for person, seen in last.items() if frame.index - seen[1] <= max_missing + 1}
            ids = np.zeros(len(frame.boxes), dtype=int)
            if last and len(ids):
                people = list(last)
                overlaps = bbox_overlaps(frame.boxes, np.array([box for box, _ in last.values()]))
                for row, column in zip(*linear_sum_assignment(overlaps, maximize=True)):
                    if overlaps[row, column] >= min_iou:
                        ids[row] = people[column]
            for row in np.flatnonzero(ids == 0):
                ids[row] = next(numbers)
            last.update({int(person): (box, frame.index) for person, box in zip(ids, frame.boxes)})
            frame.track_ids = ids
            yield frame


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
        self.speed = self.speed + _smoothing(rate, self.speed_cutoff) * ((value - self.value) * rate - self.speed)
        size = np.linalg.norm(self.speed, axis=-1, keepdims=True) / unit
        self.value = self.value + _smoothing(rate, self.min_cutoff + self.beta * size) * (value - self.value)
        return self.value


def _smoothing(rate: float, cutoff: float | np.ndarray) -> float | np.ndarray:
    ratio = 2 * np.pi * cutoff / rate
    return ratio / (ratio + 1)


def smooth(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Smooth the keypoints of each numbered person in a video with a One-Euro filter.

    The speed is measured in box sizes per second, so that the same settings suit persons of any size.

    Args:
        predictions: From :func:`track`; ``keypoints`` are replaced.

    Yields:
        The predictions.
    """
    for _, frames in itertools.groupby(predictions, key=lambda prediction: prediction.name):
        filters, last = {}, {}  # by the number of the person
        for frame in frames:
            if frame.fps is not None and frame.track_ids is not None:  # a video
                sizes = (frame.boxes[:, 2:] - frame.boxes[:, :2]).max(1)
                smoothed = [
                    filters.setdefault(person, OneEuroFilter(frame.fps))(
                        points, float(size), frame.index - last.get(person, frame.index - 1)
                    )
                    for person, points, size in zip(frame.track_ids, frame.keypoints, sizes)
                ]
                frame.keypoints = np.reshape(smoothed, frame.keypoints.shape)
                last.update(dict.fromkeys(frame.track_ids, frame.index))
            yield frame

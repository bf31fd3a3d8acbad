"""Follow persons through a video by the overlap of their boxes, and smooth their keypoints."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from mmdet.evaluation.functional import bbox_overlaps
from scipy.optimize import linear_sum_assignment

from .predictor import Prediction

MIN_IOU = 0.3  # of two boxes of the same person
MAX_MISSING = 15  # a person that is missing in more consecutive frames than this gets a new number
# One-Euro filter, in Hz: cutoff frequency at rest (lower: less jitter), its growth with the speed in box sizes per
# second (higher: less lag), cutoff frequency of the speed
MIN_CUTOFF, BETA, SPEED_CUTOFF = 1.0, 1.0, 1.0


def track(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Assign track numbers to the persons of videos: ``track_ids`` (P,) of the predictions, which must be in order.

    A person keeps the number while its boxes in successive frames overlap. Boxes of a frame are assigned to persons
    with the largest sum of IoU. Numbers start at 1 in each video or image.
    """
    for _, frames in itertools.groupby(predictions, key=lambda prediction: prediction.name):
        numbers, last = itertools.count(1), {}  # number of a person: (box, frame)
        for frame in frames:
            last = {person: seen for person, seen in last.items() if frame.index - seen[1] <= MAX_MISSING + 1}
            ids = np.zeros(len(frame.boxes), dtype=int)
            if last and len(ids):
                people = list(last)
                overlaps = bbox_overlaps(frame.boxes, np.array([box for box, _ in last.values()]))
                for row, column in zip(*linear_sum_assignment(overlaps, maximize=True)):
                    if overlaps[row, column] >= MIN_IOU:
                        ids[row] = people[column]
            for row in np.flatnonzero(ids == 0):
                ids[row] = next(numbers)
            last.update({int(person): (box, frame.index) for person, box in zip(ids, frame.boxes)})
            frame.track_ids = ids
            yield frame


def smooth(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Smooth the keypoints of each person in a video, numbered by :func:`track`, with a One-Euro filter.

    It smooths strongly at rest, so that keypoints do not jitter, and little in motion. The speed is measured in box
    sizes per second, so that the same settings suit persons of any size.

    Source: Casiez, Roussel, Vogel: 1 Euro Filter, CHI 2012.
    """
    for _, frames in itertools.groupby(predictions, key=lambda prediction: prediction.name):
        last = {}  # number of a person: (smoothed keypoints, their speed, frame)
        for frame in frames:
            if frame.fps is not None and frame.track_ids is not None:  # a video
                smoothed = np.array(frame.keypoints, dtype=float)
                for points, person, box in zip(smoothed, frame.track_ids, frame.boxes):
                    value, speed, index = last.get(person, (points, np.zeros_like(points), frame.index - 1))
                    rate = frame.fps / (frame.index - index)
                    speed = speed + _weight(rate, SPEED_CUTOFF) * ((points - value) * rate - speed)
                    size = np.linalg.norm(speed, axis=-1, keepdims=True) / (box[2:] - box[:2]).max()
                    points[:] = value + _weight(rate, MIN_CUTOFF + BETA * size) * (points - value)
                    last[person] = points, speed, frame.index
                frame.keypoints = smoothed
            yield frame


def _weight(rate: float, cutoff: float | np.ndarray) -> float | np.ndarray:
    """Weight of a new sample; both arguments in Hz."""
    ratio = 2 * np.pi * cutoff / rate
    return ratio / (ratio + 1)

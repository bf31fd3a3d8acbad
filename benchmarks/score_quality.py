"""Score quality: how well keypoint scores rank and estimate whether keypoints are right (AUROC, ECE)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmpose.structures import PoseDataSample
from scipy.stats import rankdata

from tfpose_mm.datasets.config_data import labelled_keypoints


class Bin(NamedTuple):
    """Keypoints of similar score.

    Attributes:
        score: Mean score.
        correct: Fraction of correct keypoints.
        number: Number of keypoints.
    """

    score: float
    correct: float
    number: int


class Threshold(NamedTuple):
    """The keypoints whose score is above a threshold.

    Attributes:
        threshold: The threshold.
        above: Fraction of all keypoints.
        precision: Fraction of correct keypoints among them; NaN if there are none.
    """

    threshold: float
    above: float
    precision: float


def judge(samples: Sequence[PoseDataSample], threshold: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of all labelled keypoints, and whether each keypoint is correct.

    Args:
        samples: Predicted samples with annotations and boxes.
        threshold: Largest error of a correct keypoint, as a fraction of the box's longer side, as in PCK.

    Returns:
        Scores (M,) and whether each keypoint is correct (M,), for the M labelled keypoints of all samples.
    """
    scores, correct = [], []
    for sample in samples:
        predicted, annotated = sample.pred_instances, sample.gt_instances
        x1, y1, x2, y2 = np.asarray(annotated.bboxes)[0]
        distance = np.linalg.norm(predicted.keypoints[0] - annotated.keypoints[0], axis=-1) / max(x2 - x1, y2 - y1)
        labelled = labelled_keypoints(annotated)
        scores.append(np.asarray(predicted.keypoint_scores)[0][labelled])
        correct.append((distance <= threshold)[labelled])
    return np.concatenate(scores), np.concatenate(correct)


def auroc(scores: np.ndarray, correct: np.ndarray) -> float:
    """Probability that a correct keypoint has a higher score than a wrong one; a tie counts half.

    Args:
        scores: (M,).
        correct: (M,) bool.

    Returns:
        The area under the ROC curve, 0.5 for random scores; NaN if all keypoints are correct, or all are wrong.
    """
    right = int(correct.sum())
    wrong = len(correct) - right
    if not right or not wrong:
        return float("nan")
    return float((rankdata(scores)[correct].sum() - right * (right + 1) / 2) / (right * wrong))


def reliability(scores: np.ndarray, correct: np.ndarray, number: int = 10) -> list[Bin]:
    """Group keypoints by score in bins of equal width over [0, 1]; bins without keypoints are left out.

    Args:
        scores: (M,), in [0, 1].
        correct: (M,) bool.
        number: Number of bins.

    Returns:
        The bins, in the order of their scores.
    """
    index = np.minimum((np.asarray(scores) * number).astype(int), number - 1)
    members = [index == value for value in range(number)]
    return [
        Bin(float(scores[inside].mean()), float(correct[inside].mean()), int(inside.sum()))
        for inside in members
        if inside.any()
    ]


def by_threshold(
    scores: np.ndarray, correct: np.ndarray, thresholds: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
) -> list[Threshold]:
    """Fraction and precision of the keypoints above each threshold; used to choose a threshold for drawing.

    Args:
        scores: (M,).
        correct: (M,) bool.
        thresholds: The thresholds.

    Returns:
        A record for each threshold.
    """
    records = []
    for threshold in thresholds:
        drawn = scores > threshold
        records.append(
            Threshold(threshold, float(drawn.mean()), float(correct[drawn].mean()) if drawn.any() else float("nan"))
        )
    return records


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error (ECE): the mean difference between score and fraction of correct keypoints.

    Args:
        bins: What :func:`reliability` returns.

    Returns:
        0 if a score is the probability that the keypoint is correct; at most 1.
    """
    total = sum(bin_.number for bin_ in bins)
    return sum(bin_.number * abs(bin_.score - bin_.correct) for bin_ in bins) / total

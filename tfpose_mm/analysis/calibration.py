"""Whether a keypoint's score says how likely the keypoint is right."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np
from mmpose.structures import PoseDataSample
from scipy.stats import rankdata


class Bin(NamedTuple):
    """Keypoints of similar score.

    Attributes:
        score: Their mean score.
        correct: The fraction of them that is right.
        number: How many they are.
    """

    score: float
    correct: float
    number: int


def judge(samples: Sequence[PoseDataSample], threshold: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all labelled keypoints, and whether each was found.

    Args:
        samples: Predicted samples with annotation and box.
        threshold: A keypoint is right within this part of the box's longer side, as in PCK.

    Returns:
        Scores (M,) and whether each is right (M,), for the M labelled keypoints of all samples.
    """
    scores, correct = [], []
    for sample in samples:
        predicted, annotated = sample.pred_instances, sample.gt_instances
        x1, y1, x2, y2 = np.asarray(annotated.bboxes)[0]
        distance = np.linalg.norm(predicted.keypoints[0] - annotated.keypoints[0], axis=-1) / max(x2 - x1, y2 - y1)
        labelled = np.asarray(annotated.keypoints_visible)[0].reshape(len(distance), -1)[:, 0] > 0
        scores.append(np.asarray(predicted.keypoint_scores)[0][labelled])
        correct.append((distance <= threshold)[labelled])
    return np.concatenate(scores), np.concatenate(correct)


def auroc(scores: np.ndarray, correct: np.ndarray) -> float:
    """How often a right keypoint scores higher than a wrong one; a tie counts half. 0.5 is chance.

    Args:
        scores: (M,).
        correct: (M,) bool.

    Returns:
        The area under the ROC curve; NaN if all keypoints are right, or all wrong.
    """
    right = int(correct.sum())
    wrong = len(correct) - right
    if not right or not wrong:
        return float("nan")
    return float((rankdata(scores)[correct].sum() - right * (right + 1) / 2) / (right * wrong))


def reliability(scores: np.ndarray, correct: np.ndarray, number: int = 10) -> list[Bin]:
    """Bins of equal width over [0, 1], those without keypoints left out.

    Args:
        scores: (M,), in [0, 1].
        correct: (M,) bool.
        number: Number of bins.

    Returns:
        The bins, lowest scores first.
    """
    index = np.minimum((np.asarray(scores) * number).astype(int), number - 1)
    members = [index == value for value in range(number)]
    return [
        Bin(float(scores[inside].mean()), float(correct[inside].mean()), int(inside.sum()))
        for inside in members
        if inside.any()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the mean distance between score and fraction right.

    Args:
        bins: What :func:`reliability` returns.

    Returns:
        0 for a score that is a probability; at most 1.
    """
    total = sum(bin_.number for bin_ in bins)
    return sum(bin_.number * abs(bin_.score - bin_.correct) for bin_ in bins) / total

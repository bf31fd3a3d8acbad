from __future__ import annotations

import math

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from benchmarks.score_quality import auroc, by_threshold, calibration_error, judge, reliability


def sample(offsets, scores, visible):
    """A person in a box of 50 x 100, whose keypoints have the given errors in x."""
    points = np.random.default_rng(0).uniform(20, 60, (1, len(offsets), 2))
    visible, box = np.array([visible], dtype=float), np.array([[10.0, 20.0, 60.0, 120.0]])
    person = PoseDataSample()
    person.gt_instances = InstanceData(keypoints=points, keypoints_visible=visible, bboxes=box)
    moved = points + np.stack([offsets, np.zeros(len(offsets))], axis=-1)
    person.pred_instances = InstanceData(keypoints=moved, keypoint_scores=np.array([scores]))
    return person


def test_right_means_within_a_fifth_of_the_longer_side():
    first = sample([19.9, 20.1, 0.0], [0.9, 0.4, 0.7], [1, 1, 0])  # the last is not labelled
    second = sample([0.0, 50.0, -19.0], [0.1, 0.2, 0.3], [1, 1, 1])
    scores, correct = judge([first, second])
    assert scores.tolist() == [0.9, 0.4, 0.1, 0.2, 0.3]
    assert correct.tolist() == [True, False, True, False, True]


def test_auroc_against_its_definition():
    rng = np.random.default_rng(1)
    scores, correct = rng.integers(0, 8, 60) / 8, rng.random(60) < 0.4
    pairs = [(s > t) + 0.5 * (s == t) for s in scores[correct] for t in scores[~correct]]
    assert auroc(scores, correct) == pytest.approx(np.mean(pairs))
    assert auroc(np.ones(60), correct) == 0.5
    assert math.isnan(auroc(scores, np.ones(60, dtype=bool)))


def test_bins_by_hand():
    bins = reliability(np.array([0.05, 0.15, 0.12, 1.0, 0.95]), np.array([True, False, True, True, True]))
    np.testing.assert_allclose(bins, [(0.05, 1, 1), (0.135, 0.5, 2), (0.975, 1, 2)])
    assert calibration_error(bins) == pytest.approx((0.95 + 2 * 0.365 + 2 * 0.025) / 5)


def test_precision_above_thresholds():
    scores, correct = np.array([0.05, 0.15, 0.5, 0.9]), np.array([False, True, False, True])
    first, second, last = by_threshold(scores, correct, (0.0, 0.3, 0.95))
    assert (first, second) == ((0.0, 1.0, 0.5), (0.3, 0.5, 0.5))
    assert last[:2] == (0.95, 0.0)
    assert np.isnan(last.precision)

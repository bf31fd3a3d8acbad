from __future__ import annotations

import numpy as np
import pytest

from tfpose_mm.datasets.synthetic.skeleton import COCO_KEYPOINTS, sample_joints


def test_bones_keep_their_lengths():
    bones = {("hip", "knee"): 0.235, ("knee", "ankle"): 0.235, ("shoulder", "elbow"): 0.165, ("elbow", "wrist"): 0.145}
    for seed in range(20):
        joints = sample_joints(np.random.default_rng(seed))
        assert set(COCO_KEYPOINTS) <= set(joints)
        for side in ("left", "right"):
            for (start, end), length in bones.items():
                bone = joints[f"{side}_{start}"] - joints[f"{side}_{end}"]
                assert np.linalg.norm(bone) == pytest.approx(length)
        for pair in ("shoulder", "hip", "eye", "ear"):
            width = np.linalg.norm(joints[f"left_{pair}"] - joints[f"right_{pair}"])
            assert 0.04 < width < 0.25


def test_left_is_on_the_image_s_right_in_front_view_only():
    views = []
    for seed in range(60):
        joints = sample_joints(np.random.default_rng(seed))
        front = joints["facing"][2] > 0
        views.append(front)
        assert (joints["left_hip"][0] > joints["right_hip"][0]) == front
        assert (joints["nose"][2] > joints["head"][2]) == (joints["gaze"][2] > 0) or abs(joints["gaze"][2]) < 0.3
    assert 0.2 < np.mean(views) < 0.9  # both views occur


def test_knees_and_elbows_bend_the_human_way():
    for seed in range(30):
        joints = sample_joints(np.random.default_rng(seed))
        for side in ("left", "right"):
            shin = joints[f"{side}_ankle"] - joints[f"{side}_knee"]
            thigh = joints[f"{side}_knee"] - joints[f"{side}_hip"]
            forward = joints["facing"]
            assert shin @ forward <= thigh @ forward + 0.03

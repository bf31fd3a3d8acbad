from __future__ import annotations

import pytest

from tfpose_mm.models.heads.score_kinds import is_tfpose_head, score_kinds


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (dict(type="TFPoseHead"), ["heatmap"]),
        (dict(type="TFPoseHead", aux_branch=False, sigma=True), ["sigma"]),
        (dict(type="TwoStageTFPoseHead"), ["heatmap", "keypoint_map"]),
        (dict(type="TwoStageTFPoseHead", first_stage=dict(type="KeypointMapStage")), ["heatmap", "keypoint_map"]),
        (dict(type="TwoStageTFPoseHead", first_stage=dict(type="RegressionStage"), sigma=True), ["heatmap", "sigma"]),
        (dict(type="RLEHead"), []),
        (dict(type="NoSuchHead"), []),
    ],
)
def test_score_kinds(head, expected):
    assert score_kinds(head) == expected
    assert is_tfpose_head(head) == (head["type"] in ("TFPoseHead", "TwoStageTFPoseHead"))

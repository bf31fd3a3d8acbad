"""Kinds of heads."""

from __future__ import annotations

from mmpose.registry import MODELS


def is_tfpose_head(head: dict) -> bool:
    """Whether a head is a ``TFPoseHead`` or a subclass of it.

    Args:
        head: Config of the head.

    Returns:
        Whether it has TFPose's decoder, records and keypoint scores.
    """
    built = MODELS.get(head["type"])
    return built is not None and any(base.__name__ == "TFPoseHead" for base in built.__mro__)


def score_kinds(head: dict) -> list[str]:
    """List the keypoint scores that a head supports besides 1.0.

    Args:
        head: Config of the head.

    Returns:
        Values of ``test_cfg.keypoint_scores``; none if the head is not a ``TFPoseHead``.
    """
    if not is_tfpose_head(head):
        return []
    built = MODELS.get(head["type"])
    stage = head.get("first_stage") or dict(type="KeypointMapStage")  # the default of the two-stage head
    supported = {
        "heatmap": head.get("aux_branch", True),
        "keypoint_map": "keypoint_map" in built.scores and stage["type"] == "KeypointMapStage",
        "sigma": head.get("sigma", False),
    }
    return [kind for kind, is_supported in supported.items() if is_supported]

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

"""Heads of TFPose."""

from __future__ import annotations

from .starts import KeypointMapStart, Proposal
from .tfpose_head import TFPoseHead, is_tfpose_head

__all__ = ["KeypointMapStart", "Proposal", "TFPoseHead", "is_tfpose_head"]

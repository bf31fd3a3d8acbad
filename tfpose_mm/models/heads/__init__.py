"""Heads of TFPose."""

from __future__ import annotations

from .tfpose_head import TFPoseHead
from .two_stage_tfpose_head import TwoStageTFPoseHead

__all__ = ["TFPoseHead", "TwoStageTFPoseHead"]

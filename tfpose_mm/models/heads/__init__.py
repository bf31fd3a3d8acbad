"""Heads of TFPose."""

from __future__ import annotations

from .first_stages import KeypointMapStage, RegressionStage
from .tfpose_head import TFPoseHead
from .two_stage_tfpose_head import TwoStageTFPoseHead

__all__ = ["KeypointMapStage", "RegressionStage", "TFPoseHead", "TwoStageTFPoseHead"]

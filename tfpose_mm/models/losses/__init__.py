"""Losses of TFPose."""

from __future__ import annotations

from .keypoint_map_loss import KeypointMapLoss
from .tfpose_loss import TFPoseLoss

__all__ = ["KeypointMapLoss", "TFPoseLoss"]

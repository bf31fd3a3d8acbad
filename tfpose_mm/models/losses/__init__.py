"""Losses of TFPose."""

from __future__ import annotations

from .keypoint_map_loss import KeypointMapLoss
from .keypoint_similarity_loss import KeypointSimilarityLoss
from .tfpose_loss import TFPoseLoss

__all__ = ["KeypointMapLoss", "KeypointSimilarityLoss", "TFPoseLoss"]

"""Models of TFPose."""

from __future__ import annotations

from .heads import TFPoseHead, TwoStageTFPoseHead
from .layers import set_attn_implementation
from .losses import KeypointMapLoss, KeypointSimilarityLoss, TFPoseLoss
from .necks import DeformableTransformerNeck, SequentialNeck

__all__ = [
    "DeformableTransformerNeck",
    "KeypointMapLoss",
    "KeypointSimilarityLoss",
    "SequentialNeck",
    "TFPoseHead",
    "TFPoseLoss",
    "TwoStageTFPoseHead",
    "set_attn_implementation",
]

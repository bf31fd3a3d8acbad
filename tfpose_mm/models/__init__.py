"""Models of TFPose."""

from __future__ import annotations

from .heads import KeypointMapStart, TFPoseHead
from .layers import set_attn_implementation
from .losses import KeypointMapLoss, KeypointSimilarityLoss, TFPoseLoss
from .necks import DeformableTransformerNeck, SequentialNeck

__all__ = [
    "DeformableTransformerNeck",
    "KeypointMapLoss",
    "KeypointMapStart",
    "KeypointSimilarityLoss",
    "SequentialNeck",
    "TFPoseHead",
    "TFPoseLoss",
    "set_attn_implementation",
]

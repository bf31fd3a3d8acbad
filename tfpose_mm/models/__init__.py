"""Models of TFPose."""

from __future__ import annotations

from .heads import TFPoseHead, TwoStageTFPoseHead
from .layers import set_attn_implementation
from .losses import KeypointMapLoss, TFPoseLoss
from .necks import DeformableTransformerNeck, SequentialNeck

__all__ = [
    "DeformableTransformerNeck",
    "KeypointMapLoss",
    "SequentialNeck",
    "TFPoseHead",
    "TFPoseLoss",
    "TwoStageTFPoseHead",
    "set_attn_implementation",
]

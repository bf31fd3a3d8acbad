"""Models of TFPose."""

from __future__ import annotations

from .heads import TFPoseHead
from .layers import set_attn_implementation
from .losses import TFPoseLoss
from .necks import DeformableTransformerNeck, SequentialNeck

__all__ = [
    "DeformableTransformerNeck",
    "SequentialNeck",
    "TFPoseHead",
    "TFPoseLoss",
    "set_attn_implementation",
]

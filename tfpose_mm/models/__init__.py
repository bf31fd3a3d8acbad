"""Models of TFPose."""

from __future__ import annotations

from .heads import TFPoseHead
from .losses import TFPoseLoss
from .necks import DeformableTransformerNeck, SequentialNeck

__all__ = ["DeformableTransformerNeck", "SequentialNeck", "TFPoseHead", "TFPoseLoss"]

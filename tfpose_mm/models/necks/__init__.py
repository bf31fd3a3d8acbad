"""Necks of TFPose."""

from __future__ import annotations

from .deformable_transformer_neck import DeformableTransformerNeck
from .sequential_neck import SequentialNeck

__all__ = ["DeformableTransformerNeck", "SequentialNeck"]

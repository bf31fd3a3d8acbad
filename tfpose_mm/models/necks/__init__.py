"""Necks of TFPose."""

from __future__ import annotations

from .deformable_transformer_neck import DeformableTransformerNeck

__all__ = ["DeformableTransformerNeck"]

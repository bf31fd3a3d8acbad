"""Heads of TFPose."""

from __future__ import annotations

from .tfpose_head import TFPoseHead

__all__ = ["TFPoseHead"]

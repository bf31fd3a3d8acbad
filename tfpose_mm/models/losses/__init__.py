"""Losses of TFPose."""

from __future__ import annotations

from .tfpose_loss import TFPoseLoss

__all__ = ["TFPoseLoss"]

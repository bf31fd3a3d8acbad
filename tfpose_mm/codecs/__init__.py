"""Codecs: keypoints to training targets and back."""

from __future__ import annotations

from .tfpose_label import TFPoseLabel

__all__ = ["TFPoseLabel"]

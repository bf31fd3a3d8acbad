"""Synthetic images of people, drawn from a seed and annotated in COCO's format."""

from __future__ import annotations

from .dataset import write_dataset

__all__ = ["write_dataset"]

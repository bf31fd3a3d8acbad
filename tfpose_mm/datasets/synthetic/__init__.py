"""Synthetic images of people, drawn from a seed and annotated in COCO's format."""

from __future__ import annotations

from .dataset import write_dataset
from .levels import LEVELS, Level
from .scene import Annotation, draw_scene

__all__ = ["LEVELS", "Annotation", "Level", "draw_scene", "write_dataset"]

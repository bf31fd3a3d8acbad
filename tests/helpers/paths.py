"""Paths of the repository's files."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs/tfpose_tiny_synthetic_128x96.py"  # the demo
MAIN = ROOT / "configs/tfpose_r50_coco_256x192.py"  # the paper's main model

"""Paths of the repository's files."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs/tfpose_tiny_synthetic_128x96.py"  # the demo
MAIN = ROOT / "configs/tfpose_r50_coco_256x192.py"  # the paper's main model


def pinned_versions():
    """The versions of pyproject.toml's dependency groups: a set for each package."""
    versions = {}
    for package, version in re.findall(r'"([\w-]+)==([\w.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.M):
        versions.setdefault(package, set()).add(version)
    return versions

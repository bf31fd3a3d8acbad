"""Programs that measure this repository: run them in a clone as ``python -m benchmarks.NAME``."""

from __future__ import annotations

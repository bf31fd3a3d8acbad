"""Command-line tools: ``python -m tfpose_mm.tools.NAME --help``. They parse, call and print."""

from __future__ import annotations

"""Command-line tools: ``python -m tfpose_mm.tools.NAME --help``. They parse, call ``tfpose_mm.apis`` and print."""

from __future__ import annotations

"""The packages that tfpose_mm builds on: their versions, known problems and repairs."""

from __future__ import annotations

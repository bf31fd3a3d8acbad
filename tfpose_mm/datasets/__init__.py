"""Data that the project brings along, and how batches travel."""

from __future__ import annotations

from .packed_collate import packed_collate

__all__ = ["packed_collate"]

"""Synthetic data, and a collate function for the fast transfer of batches."""

from __future__ import annotations

from .packed_collate import packed_collate

__all__ = ["packed_collate"]

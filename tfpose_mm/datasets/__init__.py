"""Synthetic data, checked data sets, and a collate function for the fast transfer of batches."""

from __future__ import annotations

from .checked_dataset import CheckedAnnotations, CheckedCocoDataset
from .checked_mpii import CheckedMpiiDataset
from .packed_collate import packed_collate

__all__ = ["CheckedAnnotations", "CheckedCocoDataset", "CheckedMpiiDataset", "packed_collate"]

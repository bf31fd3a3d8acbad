"""Data sets that check annotations and images, and synthetic data."""

from __future__ import annotations

from .checked_dataset import CheckedCocoDataset

__all__ = ["CheckedCocoDataset"]

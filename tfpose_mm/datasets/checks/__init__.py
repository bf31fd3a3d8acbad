"""Find the faults of a data set before a training."""

from __future__ import annotations

from .checking import DataReport, check_data

__all__ = ["DataReport", "check_data"]

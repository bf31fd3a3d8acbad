"""Cost and accuracy of several models in one table."""

from __future__ import annotations

from .complexity import count_complexity
from .table import compare_models

__all__ = ["compare_models", "count_complexity"]

"""Small helpers that every part of the package may import."""

from __future__ import annotations

from .errors import UserError
from .tables import markdown_table

__all__ = ["UserError", "markdown_table"]

"""The recipe of a config (parameter groups, schedule, targets), and whether its parts agree."""

from __future__ import annotations

from .parameter_groups import show_recipe

__all__ = ["show_recipe"]

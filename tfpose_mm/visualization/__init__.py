"""Pictures from data that others recorded."""

from __future__ import annotations

from .accuracy_plot import Point, draw_accuracy_plot
from .contact_sheet import draw_contact_sheet

__all__ = ["Point", "draw_accuracy_plot", "draw_contact_sheet"]

"""Plots and pictures of results."""

from __future__ import annotations

from .accuracy_plot import Point, draw_accuracy_plot
from .contact_sheet import draw_contact_sheet
from .curves import Curve, draw_curves
from .people import VideoWriter, draw_people
from .reliability_plot import draw_reliability

__all__ = [
    "Curve",
    "Point",
    "VideoWriter",
    "draw_accuracy_plot",
    "draw_contact_sheet",
    "draw_curves",
    "draw_people",
    "draw_reliability",
]

"""Plots and pictures of results."""

from __future__ import annotations

from .accuracy_plot import Point, draw_accuracy_plot
from .attention_figures import (
    draw_encoder_attention,
    draw_layer_errors,
    draw_qualitative,
    draw_query_attention,
    draw_refinement,
    draw_sampling_points,
    draw_skeleton_attention,
    draw_weighted_points,
)
from .contact_sheet import draw_contact_sheet, draw_pair
from .curves import Curve, draw_curves, draw_losses
from .page import Bars, Code, Pictures, Section, Table, Text, Tiles, write_page
from .people import VideoWriter, draw_people
from .reliability_plot import draw_reliability

__all__ = [
    "Bars",
    "Code",
    "Curve",
    "Pictures",
    "Point",
    "Section",
    "Table",
    "Text",
    "Tiles",
    "VideoWriter",
    "draw_accuracy_plot",
    "draw_contact_sheet",
    "draw_curves",
    "draw_encoder_attention",
    "draw_layer_errors",
    "draw_losses",
    "draw_pair",
    "draw_people",
    "draw_qualitative",
    "draw_query_attention",
    "draw_refinement",
    "draw_reliability",
    "draw_sampling_points",
    "draw_skeleton_attention",
    "draw_weighted_points",
    "write_page",
]

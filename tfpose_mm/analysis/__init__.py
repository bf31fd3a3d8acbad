"""What a trained model does: figures of its attention, errors by keypoint and layer, a report."""

from __future__ import annotations

from .figures import draw_figures
from .report import write_report

__all__ = ["draw_figures", "write_report"]

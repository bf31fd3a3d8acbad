"""Export to ONNX; ``runner.py`` runs the exported models and stands alone."""

from __future__ import annotations

from .exporter import export_onnx
from .runner import PoseRunner

__all__ = ["PoseRunner", "export_onnx"]

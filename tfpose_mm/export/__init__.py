"""Export to ONNX; ``runner.py`` runs the exported models and stands alone."""

from __future__ import annotations

"""Prediction on images and videos: inputs, person boxes, batches, tracking, drawings, result files."""

from __future__ import annotations

from .boxes import FromDetector
from .prediction import PredictionSummary, predict
from .predictor import Prediction, Predictor
from .sources import find_sources
from .tracking import smooth, track
from .writers import PredictionWriter, coco_results

__all__ = [
    "FromDetector",
    "Prediction",
    "PredictionSummary",
    "PredictionWriter",
    "Predictor",
    "coco_results",
    "find_sources",
    "predict",
    "smooth",
    "track",
]

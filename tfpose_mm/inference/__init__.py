"""Prediction on images and videos: inputs, person boxes, batches, tracking, drawings, result files."""

from __future__ import annotations

from .boxes import AnyBoxes, FromDetector, FromFile, FromFunction, WholeImage
from .prediction import PredictionSummary, predict
from .predictor import Prediction, Predictor
from .sources import find_sources
from .tracking import OneEuroFilter, smooth, track
from .writers import PredictionWriter, coco_results

__all__ = [
    "AnyBoxes",
    "FromDetector",
    "FromFile",
    "FromFunction",
    "OneEuroFilter",
    "Prediction",
    "PredictionSummary",
    "PredictionWriter",
    "Predictor",
    "WholeImage",
    "coco_results",
    "find_sources",
    "predict",
    "smooth",
    "track",
]

"""Prediction on images and videos: inputs, person boxes, batches, tracking, drawings, result files."""

from __future__ import annotations

from .boxes import FromDetector
from .prediction import PredictionSummary, predict
from .predictor import Prediction, Predictor
from .tracking import smooth, track

__all__ = ["FromDetector", "Prediction", "PredictionSummary", "Predictor", "predict", "smooth", "track"]

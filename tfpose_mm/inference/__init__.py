"""Prediction on images and videos: inputs, person boxes, batches, tracking, result files."""

from __future__ import annotations

from .boxes import AnyBoxes, FromDetector, FromFile, FromFunction, WholeImage
from .predictor import BATCH_SIZE, SCORES, Prediction, Predictor, choose_scores
from .sources import Frame, Source, Unreadable, find_sources, read_frames
from .tracking import OneEuroFilter, smooth, track
from .writers import PredictionWriter, coco_results

__all__ = [
    "BATCH_SIZE",
    "SCORES",
    "AnyBoxes",
    "Frame",
    "FromDetector",
    "FromFile",
    "FromFunction",
    "OneEuroFilter",
    "Prediction",
    "PredictionWriter",
    "Predictor",
    "Source",
    "Unreadable",
    "WholeImage",
    "choose_scores",
    "coco_results",
    "find_sources",
    "read_frames",
    "smooth",
    "track",
]

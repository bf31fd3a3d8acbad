"""Submission files for evaluation servers, and kinds of errors of keypoints."""

from __future__ import annotations

from .coco_submission import CocoSubmission
from .error_kinds import ERROR_KINDS, ErrorAnalysis, EvaluatedPerson, analyse_errors, keypoint_similarity

__all__ = [
    "ERROR_KINDS",
    "CocoSubmission",
    "ErrorAnalysis",
    "EvaluatedPerson",
    "analyse_errors",
    "keypoint_similarity",
]

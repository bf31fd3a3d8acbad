"""Submission files for evaluation servers, and kinds of errors of keypoints."""

from __future__ import annotations

from .coco_submission import CocoSubmission
from .error_kinds import ERROR_KINDS, ErrorAnalysis, EvaluatedPerson, analyse_errors, keypoint_similarity
from .mpii_submission import NUM_JOINTS, MpiiPerson, read_release, single_people, write_submission

__all__ = [
    "ERROR_KINDS",
    "NUM_JOINTS",
    "CocoSubmission",
    "ErrorAnalysis",
    "EvaluatedPerson",
    "MpiiPerson",
    "analyse_errors",
    "keypoint_similarity",
    "read_release",
    "single_people",
    "write_submission",
]

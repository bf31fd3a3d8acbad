"""Submission files for evaluation servers, and the quality of keypoint scores."""

from __future__ import annotations

from .coco_submission import CocoSubmission
from .mpii_submission import NUM_JOINTS, MpiiPerson, read_release, single_people, write_submission

__all__ = ["NUM_JOINTS", "CocoSubmission", "MpiiPerson", "read_release", "single_people", "write_submission"]

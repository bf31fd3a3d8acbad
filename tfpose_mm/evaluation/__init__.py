"""What evaluation servers take."""

from __future__ import annotations

from .coco_submission import CocoSubmission
from .mpii_submission import MpiiPerson, read_release, single_people, write_submission

__all__ = ["CocoSubmission", "MpiiPerson", "read_release", "single_people", "write_submission"]

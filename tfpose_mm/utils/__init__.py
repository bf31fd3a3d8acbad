"""Small helpers that every part of the package may import."""

from __future__ import annotations

from .errors import MissingFileError, UserError
from .heads import is_tfpose_head, score_kinds
from .keypoints import keypoint_names
from .tables import markdown_table

__all__ = ["MissingFileError", "UserError", "is_tfpose_head", "keypoint_names", "markdown_table", "score_kinds"]

"""Check a file of detected boxes, which a test uses in place of the annotated boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .annotation_files import json_type
from .annotation_structure import LIMIT, is_id, is_number
from .findings import REFUSED, SKIPPED, Finding

REQUIRED = ("image_id", "category_id", "bbox", "score")
PERSON = 1  # MMPose uses only the boxes of this category


def check_boxes(content: Any, file: str, image_ids: set[int]) -> list[Finding]:  # noqa: ANN401 - any json
    """Check the content of a file of detected boxes.

    It is a list as ``[{"image_id": 1, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}, ...]``.

    Args:
        content: The content of the file.
        file: Name of the file in the findings.
        image_ids: The ids of the images in the annotation file.

    Returns:
        At most one fault per row. Boxes without an area and boxes with NaN are left out: a pose from such a box is
        not finite.
    """
    if not isinstance(content, list) or not content:
        got = "an empty list" if isinstance(content, list) else json_type(content)
        detail = f"a file of boxes must contain a list of objects, but contains {got}: choose another bbox_file"
        return [Finding("boxes_not_a_list", REFUSED, file, None, detail)]
    findings = []
    for index, row in enumerate(content):
        fault = _box_fault(row, image_ids)
        if fault:
            findings.append(Finding(*fault[:2], file, index, fault[2]))
    faulty = {finding.row for finding in findings}
    if not any(index not in faulty and row["category_id"] == PERSON for index, row in enumerate(content)):
        detail = (
            f"a file of boxes must have a usable box with category_id {PERSON}, but of {len(content)} boxes "
            f"{len(faulty)} are faulty and the others have other categories: choose another bbox_file"
        )
        findings.append(Finding("no_box", REFUSED, file, None, detail))
    return findings


def _box_fault(row: object, image_ids: set[int]) -> tuple[str, str, str] | None:
    if type(row) is not dict:
        return "box_not_object", REFUSED, f"each box must be an object, but this is {json_type(row)}: delete it"
    for key in REQUIRED:
        if key not in row:
            keys = ", ".join(REQUIRED)
            return "box_key_missing", REFUSED, f"each box must have the keys {keys}, but '{key}' is missing: add it"
    if not is_id(row["category_id"]):
        detail = f"category_id must be a whole number, but is {row['category_id']!r:.50}: correct it"
        return "box_category_id_type", REFUSED, detail
    if not is_id(row["image_id"]) or row["image_id"] not in image_ids:
        detail = (
            f"image_id must be the id of an image of ann_file, but is {row['image_id']!r:.50}: choose the boxes of "
            "this data set"
        )
        return "box_image_id_unknown", REFUSED, detail
    box, score = row["bbox"], row["score"]
    if type(box) is not list or len(box) < 4 or not all(map(is_number, box)):
        return "box_type", REFUSED, f"bbox must be a list [x, y, width, height], but is {box!r:.50}: correct it"
    if not all(abs(value) <= LIMIT for value in box) or not _has_area(*box[:4]):
        detail = f"bbox must be finite with a positive width and height, but is {box!r:.50}: delete the row"
        return "box_numbers", SKIPPED, detail
    if not is_number(score) or not abs(score) <= LIMIT or not math.isfinite(score):
        return "box_score", SKIPPED, f"score must be a finite number, but is {score!r:.50}: delete the row"
    return None


def _has_area(left: float, top: float, width: float, height: float) -> bool:
    """Whether both sides are positive in float32, as MMPose computes with them, and one is at least a pixel long."""
    if min(width, height) < 1:
        start, size = np.array([left, top], np.float32), np.array([width, height], np.float32)
        return bool((start + size > start).all()) and max(width, height) >= 1
    return True

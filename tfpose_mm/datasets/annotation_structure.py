"""Check keys, types and ids of annotations in COCO's json format, and of files of detected boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Callable, NamedTuple

import numpy as np

from .annotation_files import json_type
from .findings import REFUSED, SKIPPED, WARNING, Finding

LIMIT = 1e6  # pixels; a larger coordinate is a fault, and overflows in the affine transforms
NUMBERS = {int, float}  # bool is another type
PERSON = 1  # MMPose uses only the detected boxes of this category


@dataclass
class AnnotationReport:
    """What is found in an annotation file.

    Attributes:
        file: Name of the file in the findings.
        findings: The faults.
        sizes: (width, height) in pixels of each usable image by its id.
        skipped_images: Indices of the entries of ``images`` that a training leaves out.
        skipped_rows: Indices of the annotations that a training leaves out.
        crowds: Number of crowds among the other annotations.
        without_keypoints: Number of instances without labelled keypoints among the other annotations.
    """

    file: str
    findings: list[Finding] = field(default_factory=list)
    sizes: dict[int, tuple[float, float]] = field(default_factory=dict)
    skipped_images: set[int] = field(default_factory=set)
    skipped_rows: set[int] = field(default_factory=set)
    crowds: int = 0
    without_keypoints: int = 0

    @property
    def is_refused(self) -> bool:
        """Whether a fault of the whole file is found, so that nothing more can be checked."""
        return any(finding.severity == REFUSED for finding in self.findings)

    def add(self, check: str, severity: str, row: int | None, detail: str) -> None:
        """Add a fault of the file, or of an annotation, which a training leaves out if the severity is SKIPPED."""
        self.findings.append(Finding(check, severity, self.file, row, detail))
        if severity == SKIPPED and row is not None:
            self.skipped_rows.add(row)

    def add_to_image(self, check: str, severity: str, index: int, detail: str) -> None:
        """Add a fault of an entry of ``images``."""
        self.findings.append(Finding(check, severity, self.file, index, f"in 'images', {detail}"))
        if severity == SKIPPED:
            self.skipped_images.add(index)


def is_id(value: object) -> bool:
    """Whether a value is a whole number that fits into 64 bits; true and false are not."""
    return type(value) is int and -(2**63) <= value < 2**63


def is_number(value: Any, limit: float = LIMIT) -> bool:  # noqa: ANN401 - any json
    """Whether a value is a finite number of at most a limit; true and false are not."""
    return type(value) in NUMBERS and abs(value) <= limit  # False for NaN


class Field(NamedTuple):
    """A key of an entry: its name, whether a value is good, what is expected, the name of the check."""

    key: str
    is_good: Callable[[Any], bool]
    expected: str
    check: str
    required: bool = True


ID, NUMBER, PIXELS = "a whole number", "a finite number", f"a number of pixels from 1 to {LIMIT:,.0f}"
BOX = f"a list [x, y, width, height] of numbers of at most {LIMIT:,.0f}"
CATEGORY = (Field("id", is_id, ID, "category_id_type"),)
IMAGE = (
    Field("id", is_id, ID, "image_id_type"),
    Field("file_name", lambda name: isinstance(name, str) and bool(name.strip()), "a name", "file_name_type"),
    *(Field(key, lambda side: is_number(side) and side >= 1, PIXELS, "image_size") for key in ("width", "height")),
)
ANNOTATION = (
    *(Field(key, is_id, ID, f"{key}_type") for key in ("id", "image_id", "category_id")),
    Field("bbox", lambda box: type(box) is list and len(box) == 4 and all(map(is_number, box)), BOX, "bbox_type"),
    Field(
        "keypoints",
        lambda points: type(points) is list and not (points and type(points[0]) in (list, dict)),
        "one list of numbers x1, y1, v1, x2, ...",
        "keypoints_type",
    ),
    Field("iscrowd", lambda value: value in (0, 1), "0 or 1", "iscrowd_type", required=False),
    Field("area", lambda area: is_number(area, LIMIT**2), NUMBER, "area_type", required=False),
    Field("num_keypoints", is_id, ID, "num_keypoints_type", required=False),
)


def _has_numbers(box: Any) -> bool:  # noqa: ANN401 - any json
    return type(box) is list and len(box) >= 4 and set(map(type, box[:4])) <= NUMBERS


def _has_area(box: list) -> bool:
    """Whether both sides are positive in float32, as MMPose computes with them, and one is at least a pixel long."""
    if not all(map(is_number, box[:4])):
        return False
    start, size = np.array(box[:4], dtype=np.float32).reshape(2, 2)
    return bool((start + size > start).all()) and max(box[2:4]) >= 1


DETECTION = (
    Field("category_id", is_id, ID, "box_category_id_type"),
    Field("bbox", _has_numbers, BOX, "box_type"),
    Field("bbox", _has_area, "finite with a positive width and height", "box_numbers"),
    Field("score", is_number, NUMBER, "box_score"),
)


def _entry_fault(entry: object, fields: Iterable[Field], kind: str) -> tuple[str, str] | None:
    """The first fault of the keys and types of an entry, as (check, sentence)."""
    if type(entry) is not dict:
        return f"{kind}_not_object", f"each {kind} must be an object, but this is {json_type(entry)}: delete it"
    for key, is_good, expected, check, required in fields:
        if key in entry and not is_good(entry[key]):
            return check, f"{key} must be {expected}, but is {entry[key]!r:.50}: correct it"
        if key not in entry and required:
            check = f"{key}_missing" if kind == "annotation" else f"{kind}_key_missing"
            return check, f"each {kind} must have the key '{key}', but this has not: add it or delete the row"
    return None


def check_lists(content: dict[str, Any], report: AnnotationReport, need_annotations: bool) -> None:
    """Check the keys ``images``, ``annotations`` and ``categories``, and the ids of the categories."""
    for key in ("images", "annotations", "categories"):
        value, needed = content.get(key), need_annotations or key != "annotations"
        if key not in content and needed:
            fix = "choose an annotation file in COCO's format"
            detail = f"the file must have the keys images, annotations and categories, but '{key}' is missing: {fix}"
            report.add("key_missing", REFUSED, None, detail)
        elif key in content and not isinstance(value, list):
            detail = f"'{key}' must be a list, but is {json_type(value)}: write the file again"
            report.add("not_a_list", REFUSED, None, detail)
        elif not value and needed:
            detail = f"'{key}' must have entries, but is empty: choose another annotation file"
            report.add("list_empty", REFUSED, None, detail)
    for index, category in enumerate([] if report.is_refused else content["categories"]):
        fault = _entry_fault(category, CATEGORY, "category")
        if fault:
            report.add("category_id_type", REFUSED, index, f"in 'categories', {fault[1]}")


def check_images(images: list, report: AnnotationReport) -> None:
    """Check the images; the sizes of the usable ones go into the report."""
    names: dict[str, int] = {}
    for index, image in enumerate(images):
        fault = _entry_fault(image, IMAGE, "image")
        if fault:
            report.add_to_image(fault[0], SKIPPED, index, fault[1])
            continue
        number, name = image["id"], image["file_name"]
        if number in report.sizes:
            fix = "give each image its own id, also in the annotations"
            detail = f"each id must occur once, but {number} occurs again: {fix}"
            report.add_to_image("image_id_repeated", REFUSED, index, detail)
        first = names.setdefault(name, index)
        if first != index:
            detail = f"each file_name should occur once, but '{name}' is also in entry {first}: use one entry"
            report.add_to_image("file_name_repeated", WARNING, index, detail)
        report.sizes[number] = (image["width"], image["height"])


def check_rows(rows: list, categories: list[dict], num_keypoints: int, report: AnnotationReport) -> list[int]:
    """Check keys, types and ids of the annotations; return the indices of the rows without a fault.

    Args:
        rows: The annotations. Keypoints that are null or NaN where v is 0 are set to 0.
        categories: The categories.
        num_keypoints: K.
        report: Has the sizes of the images; gets the faults.
    """
    names = {entry["id"]: entry.get("name", entry["id"]) for entry in categories}
    known = Field("image_id", report.sizes.__contains__, "the id of a usable entry of 'images'", "image_id_unknown")
    fields, good = (*ANNOTATION, known), []
    wrong_length: list[int] = []
    first: dict[int, int] = {}
    for index, row in enumerate(rows):
        fault = _entry_fault(row, fields, "annotation")
        if fault is None and len(row["keypoints"]) != 3 * num_keypoints:
            wrong_length.append(index)
            continue
        fault = fault or _keypoints_fault(row["keypoints"], index, report)
        if fault:
            report.add(fault[0], SKIPPED, index, fault[1])
            continue
        if row["category_id"] not in names:
            detail = f"category_id should be the id of one of the categories, but is {row['category_id']}: correct it"
            report.add("category_unknown", WARNING, index, detail)
        earlier = first.setdefault(row["id"], index)
        if earlier == index:
            good.append(index)
        elif row == rows[earlier]:
            detail = f"each annotation should occur once, but this is a copy of row {earlier}: delete it"
            report.add("annotation_repeated", SKIPPED, index, detail)
        else:  # xtcocotools would use the last one twice, also with the image of the first
            fix = "number the annotations again"
            detail = f"each annotation must have its own id, but {row['id']} is also the id of row {earlier}: {fix}"
            report.add("annotation_id_repeated", REFUSED, index, detail)
    _report_wrong_length(rows, wrong_length, len(good), num_keypoints, names, report)
    return good


def _keypoints_fault(keypoints: list, row: int, report: AnnotationReport) -> tuple[str, str] | None:
    """Set null and NaN to 0 where v is 0, in place; return the fault of the other numbers."""
    if set(map(type, keypoints)) <= NUMBERS and max(map(abs, keypoints)) <= LIMIT and not math.isnan(sum(keypoints)):
        return None  # fast for files without faults
    empty = [place for place, value in enumerate(keypoints) if value is None or value != value]
    empty = [place for place in empty if keypoints[place // 3 * 3 + 2] in (0, None)]
    for place in empty:
        keypoints[place] = 0
    if empty:
        detail = "x and y should be numbers also where v is 0, but are null or NaN: they count as not labelled; write 0"
        report.add("keypoints_null", WARNING, row, detail)
    wrong = [place for place, value in enumerate(keypoints) if not is_number(value)]
    if not wrong:
        return None
    expected = f"keypoints must contain finite numbers of at most {LIMIT:,.0f}"
    return "keypoints_type", (
        f"{expected}, but keypoint {wrong[0] // 3} has {keypoints[wrong[0]]!r:.50}: correct or delete the row"
    )


def _report_wrong_length(
    rows: list, wrong: list[int], num_good: int, num_keypoints: int, names: dict[int, Any], report: AnnotationReport
) -> None:
    for index in wrong:
        length, category = len(rows[index]["keypoints"]), rows[index]["category_id"]
        detail = (
            f"keypoints must have {3 * num_keypoints} numbers, x, y and visibility of {num_keypoints} keypoints, but "
            f"has {length}"
        )
        detail += f" in category {names.get(category, category)}" if len(names) > 1 else ""
        detail += ", x and y only: add v (2: visible) after each y" if length == 2 * num_keypoints else ""
        if len(wrong) > num_good:
            fix = "set metainfo in the config to the keypoints of the file, or choose another file"
            detail += f", as have {len(wrong) - 1} other rows: {fix}"
            report.add("keypoints_length", REFUSED, index, detail)
            report.skipped_rows.update(wrong)
            return
        report.add("keypoints_length", SKIPPED, index, f"{detail}: correct or delete the row")


def check_boxes(content: Any, file: str, image_ids: Iterable[int]) -> list[Finding]:  # noqa: ANN401 - any json
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
    ids, findings = set(image_ids), []
    image = Field(
        "image_id",
        lambda value: is_id(value) and value in ids,
        "the id of an image of ann_file",
        "box_image_id_unknown",
    )
    for index, row in enumerate(content):
        fault = _entry_fault(row, (image, *DETECTION), "box")
        if fault:
            severity = SKIPPED if fault[0] in ("box_numbers", "box_score") else REFUSED
            findings.append(Finding(fault[0], severity, file, index, fault[1]))
    faulty = {finding.row for finding in findings}
    if not any(index not in faulty and row["category_id"] == PERSON for index, row in enumerate(content)):
        detail = (
            f"a file of boxes must have a usable box with category_id {PERSON}, but of {len(content)} boxes "
            f"{len(faulty)} are faulty and the others have other categories: choose another bbox_file"
        )
        findings.append(Finding("no_box", REFUSED, file, None, detail))
    return findings

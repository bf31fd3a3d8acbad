"""Check keys, types and ids of annotations in COCO's json format."""

from __future__ import annotations

from itertools import chain
from typing import Any

from .annotation_files import json_type
from .findings import REFUSED, SKIPPED, WARNING, Finding

LIMIT = 1e6  # pixels; a larger coordinate is a fault, and overflows in the affine transforms
ID_LIMIT = 2**63
REQUIRED = ("id", "image_id", "category_id", "bbox", "keypoints")
NUMBERS = {int, float}  # bool is another type
KEY_DETAIL = "the annotation must have the key '{}', but does not: add it or delete the row"


UNLABELLED = "x and y should be numbers also where v is 0, but are null or NaN: they count as not labelled; write 0"


class AnnotationReport:
    """What is found in an annotation file.

    Attributes:
        findings: The faults.
        image_ids: The ids of the usable images.
        skipped_images: Indices of the entries of ``images`` that a training leaves out.
        skipped_rows: Indices of the annotations that a training leaves out.
        crowds: Number of crowds among the other annotations.
        without_keypoints: Number of instances without labelled keypoints among the other annotations.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.image_ids: set[int] = set()
        self.skipped_images: set[int] = set()
        self.skipped_rows: set[int] = set()
        self.crowds = 0
        self.without_keypoints = 0

    @property
    def is_refused(self) -> bool:
        """Whether a fault of the whole file is found, so that nothing more can be checked."""
        return any(finding.severity == REFUSED for finding in self.findings)

    def add(self, check: str, severity: str, row: int | None, detail: str) -> None:
        """Add a fault of the file, or of an entry of ``images`` or ``annotations``."""
        self.findings.append(Finding(check, severity, self.file, row, detail))

    def skip_image(self, check: str, index: int, detail: str) -> None:
        """Add a fault because of which a training leaves an image out."""
        self.skipped_images.add(index)
        self.add(check, SKIPPED, index, f"in 'images', {detail}")

    def skip_row(self, check: str, row: int, detail: str) -> None:
        """Add a fault because of which a training leaves an annotation out."""
        self.skipped_rows.add(row)
        self.add(check, SKIPPED, row, detail)


def is_id(value: object) -> bool:
    """Whether a value is a whole number that fits into 64 bits."""
    return type(value) is int and -ID_LIMIT <= value < ID_LIMIT


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are not."""
    return type(value) in NUMBERS


def check_lists(content: dict[str, Any], report: AnnotationReport, need_annotations: bool) -> bool:
    """Check the keys ``images``, ``annotations`` and ``categories``; return whether all are lists."""
    count = len(report.findings)
    for key in ("images", "annotations", "categories"):
        if key not in content:
            if key != "annotations" or need_annotations:
                report.add(
                    "key_missing",
                    REFUSED,
                    None,
                    f"the file must have the keys images, annotations and categories, but '{key}' is missing: choose "
                    "an annotation file in COCO's format",
                )
        elif not isinstance(content[key], list):
            report.add(
                "not_a_list",
                REFUSED,
                None,
                f"'{key}' must be a list, but is {json_type(content[key])}: write the file again",
            )
        elif not content[key] and (key != "annotations" or need_annotations):
            report.add(
                "list_empty", REFUSED, None, f"'{key}' must have entries, but is empty: choose another annotation file"
            )
    return len(report.findings) == count


def check_categories(content: dict[str, Any], report: AnnotationReport) -> list[dict]:
    """Check the categories; return those that have an id."""
    good = []
    for index, category in enumerate(content["categories"]):
        if not isinstance(category, dict) or not is_id(category.get("id")):
            report.add(
                "category_id_type",
                REFUSED,
                index,
                "in 'categories', each entry must be an object with a whole number as id, but this one is not: "
                "correct it",
            )
        else:
            good.append(category)
    return good


def check_images(content: dict[str, Any], report: AnnotationReport) -> dict[int, tuple[float, float]]:
    """Check the images; return the (width, height) in pixels of each usable image by its id."""
    sizes: dict[int, tuple[float, float]] = {}
    names: dict[str, int] = {}
    for index, image in enumerate(content["images"]):
        fault = _image_fault(image)
        if fault:
            report.skip_image(fault[0], index, fault[1])
            continue
        if image["id"] in sizes:
            report.add(
                "image_id_repeated",
                REFUSED,
                index,
                f"in 'images', each id must occur once, but {image['id']} occurs again: give each image its own id, "
                "also in the annotations",
            )
        first = names.setdefault(image["file_name"], index)
        if first != index:
            report.add(
                "file_name_repeated",
                WARNING,
                index,
                f"in 'images', each file_name should occur once, but '{image['file_name']}' is also in entry {first}: "
                "use one entry for one file",
            )
        sizes[image["id"]] = (image["width"], image["height"])
    return sizes


def _image_fault(image: object) -> tuple[str, str] | None:
    if not isinstance(image, dict):
        return "image_not_object", f"each entry must be an object, but this is {json_type(image)}: delete the entry"
    for key in ("id", "file_name", "width", "height"):
        if key not in image:
            return "image_key_missing", f"each image must have the key '{key}', but this has not: add it"
    if not is_id(image["id"]):
        return "image_id_type", f"an id must be a whole number, but is {image['id']!r:.50}: number the images"
    if not isinstance(image["file_name"], str) or not image["file_name"].strip():
        return "file_name_type", f"file_name must be a name, but is {image['file_name']!r:.50}: correct it"
    for key in ("width", "height"):
        if not is_number(image[key]) or not 1 <= image[key] <= LIMIT:
            return (
                "image_size",
                f"{key} must be a number of pixels from 1 to {LIMIT:,.0f}, but is {image[key]!r:.50}: write the size "
                "of the image",
            )
    return None


def check_rows(
    rows: list,
    sizes: dict[int, tuple[float, float]],
    categories: list,
    num_keypoints: int,
    report: AnnotationReport,
) -> list[int]:
    """Check keys, types and ids of the annotations; return the indices of the rows without such a fault."""
    length, known = 3 * num_keypoints, {entry["id"] for entry in categories}
    good, wrong_length = [], []
    for index, row in enumerate(rows):
        fault = _row_fault(row, sizes)
        if fault:
            report.skip_row(fault[0], index, fault[1])
        elif len(row["keypoints"]) != length:
            wrong_length.append(index)
        else:
            good.append(index)
            if row["category_id"] not in known:
                report.add(
                    "category_unknown",
                    WARNING,
                    index,
                    f"category_id should be the id of one of the categories, but is {row['category_id']}: correct it",
                )
    _report_wrong_length(rows, wrong_length, len(good), num_keypoints, categories, report)
    good = _without_other_types(rows, good, report)
    return _check_annotation_ids(rows, good, report)


def _row_fault(row: object, sizes: dict[int, tuple[float, float]]) -> tuple[str, str] | None:
    """The first structural fault of an annotation as (check, detail)."""
    if type(row) is not dict:
        return "annotation_not_object", f"each annotation must be an object, but this is {json_type(row)}: delete it"
    for key in REQUIRED:
        if key not in row:
            return f"{key}_missing", KEY_DETAIL.format(key)
        if key.endswith("id") and not is_id(row[key]):
            return f"{key}_type", f"{key} must be a whole number, but is {row[key]!r:.50}: correct it"
    if row["image_id"] not in sizes:
        return (
            "image_id_unknown",
            f"image_id must be the id of a usable entry of 'images', but is {row['image_id']}: correct it or delete "
            "the row",
        )
    box, keypoints = row["bbox"], row["keypoints"]
    if type(box) is not list or len(box) != 4:
        return "bbox_type", f"bbox must be a list [x, y, width, height], but is {box!r:.50}: correct it"
    if type(keypoints) is list and keypoints and type(keypoints[0]) in (list, dict):
        return (
            "keypoints_type",
            f"keypoints must be one list x1, y1, v1, x2, ..., but contains {json_type(keypoints[0])} for each point: "
            "write the numbers of all points one after the other",
        )
    if type(keypoints) is not list:
        return "keypoints_type", f"keypoints must be a list of numbers, but is {json_type(keypoints)}: correct it"
    if row.get("iscrowd", 0) not in (0, 1):
        return "iscrowd_type", f"iscrowd must be 0 or 1, but is {row['iscrowd']!r:.50}: correct it"
    if "area" in row and not is_number(row["area"]):
        return "area_type", f"area must be a number, but is {row['area']!r:.50}: correct it"
    if "num_keypoints" in row and not is_id(row["num_keypoints"]):
        count = row["num_keypoints"]
        return "num_keypoints_type", f"num_keypoints must be a whole number, but is {count!r:.50}: correct it"
    return None


def _report_wrong_length(
    rows: list, wrong: list[int], num_good: int, num_keypoints: int, categories: list, report: AnnotationReport
) -> None:
    names = {entry["id"]: entry.get("name", entry["id"]) for entry in categories if isinstance(entry, dict)}

    def detail(index: int) -> str:
        length, category = len(rows[index]["keypoints"]), rows[index]["category_id"]
        without = ", x and y only: add v (2: visible) after each y" if length == 2 * num_keypoints else ""
        of = f" in category {names.get(category, category)}" if len(names) > 1 else ""
        return (
            f"keypoints must have {3 * num_keypoints} numbers, x, y and visibility of {num_keypoints} keypoints, but "
            f"has {length}{of}{without}"
        )

    if len(wrong) > num_good:
        fix = "set metainfo in the config to the keypoints of the file, or choose another file"
        report.add(
            "keypoints_length", REFUSED, wrong[0], f"{detail(wrong[0])}, as have {len(wrong) - 1} other rows: {fix}"
        )
        report.skipped_rows.update(wrong)
    else:
        for index in wrong:
            report.skip_row("keypoints_length", index, f"{detail(index)}: correct or delete the row")


def _without_other_types(rows: list, indices: list[int], report: AnnotationReport) -> list[int]:
    """Leave out the rows whose bbox or keypoints contain something that is not a number."""
    for key in ("bbox", "keypoints"):
        if set(map(type, chain.from_iterable(rows[index][key] for index in indices))) <= NUMBERS:
            continue  # fast for files without faults
        good = []
        for index in indices:
            if key == "keypoints" and _fill_unlabelled(rows[index][key]):
                report.add("keypoints_null", WARNING, index, UNLABELLED)
            other = [value for value in rows[index][key] if type(value) not in NUMBERS]
            if other:
                detail = f"{key} must contain only numbers, but contains {other[0]!r:.50}: correct it"
                report.skip_row(f"{key}_type", index, detail)
            else:
                good.append(index)
        indices = good
    return indices


def _fill_unlabelled(keypoints: list) -> bool:
    """Set null and NaN to 0 where v is 0, in place; return whether there were any."""
    filled = False
    for start in range(0, len(keypoints), 3):
        if keypoints[start + 2] in (0, None):
            for place in range(start, start + 3):
                if keypoints[place] is None or keypoints[place] != keypoints[place]:
                    keypoints[place], filled = 0, True
    return filled


def _check_annotation_ids(rows: list, indices: list[int], report: AnnotationReport) -> list[int]:
    """Refuse one id for two instances: xtcocotools would use the last one twice, also with the image of the first."""
    first: dict[int, int] = {}
    good = []
    for index in indices:
        number = rows[index]["id"]
        earlier = first.setdefault(number, index)
        if earlier == index:
            good.append(index)
        elif rows[index] == rows[earlier]:
            detail = f"each annotation should occur once, but this is a copy of row {earlier}: delete it"
            report.skip_row("annotation_repeated", index, detail)
        else:
            report.add(
                "annotation_id_repeated",
                REFUSED,
                index,
                f"each annotation must have its own id, but {number} is also the id of row {earlier}: number the "
                "annotations again",
            )
    return good

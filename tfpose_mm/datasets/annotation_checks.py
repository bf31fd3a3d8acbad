"""Check annotations in COCO's json format before a training uses them: a list of checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np

from .annotations import IMAGE, Instances, Keys, annotation_keys, entry_fault, read_instances
from .findings import REFUSED, SKIPPED, WARNING, Finding, describe_groups

TOLERANCE = 1.0  # pixels by which boxes and keypoints may leave the image, as some of COCO do
# A file may have many rows without a box or keypoints: MMPose leaves them out by design.
INCOMPLETE = ("bbox_missing", "keypoints_missing")


def _no_area(a: Instances) -> np.ndarray:
    ends = np.stack([a.box[:, :2], a.box[:, :2] + a.box[:, 2:]])
    start, end = np.clip(ends, 0, a.image - 1).astype(np.float32)  # as MMPose clips it
    return (end <= start).any(1)


def _outside(a: Instances, start: np.ndarray | float, end: np.ndarray) -> np.ndarray:
    return a.labelled & ((a.points < start - TOLERANCE) | (a.points > end + TOLERANCE)).any(2)


def _mostly_outside_box(a: Instances) -> np.ndarray:
    outside = _outside(a, a.box[:, None, :2], a.box[:, None, :2] + a.box[:, None, 2:])
    return 2 * outside.sum(1) > a.labelled.sum(1)


def _outside_image(a: Instances) -> np.ndarray:
    return _outside(a, 0, a.image[:, None] - 1)


def _at_zero(a: Instances) -> np.ndarray:
    return a.labelled & (a.points == 0).all(2)


def _at_one_place(a: Instances) -> np.ndarray:
    labelled = a.labelled[..., None]
    highest, lowest = np.where(labelled, a.points, -np.inf).max(1), np.where(labelled, a.points, np.inf).min(1)
    return (highest <= lowest).all(1) & (a.labelled.sum(1) >= 3)


IN_IMAGE = "in the image of {image[width]} x {image[height]} pixels"
NO_AREA = "area should be above 0 or use_area=False of data set and CocoMetric, but is {area}"
XYV = "keypoint {k} is {xyv}"
# The name; what a training does; whether each instance has the fault, (N,), or each of its keypoints, (N, K); what is
# expected and what is there: row of the file, its image and area, the first keypoint k with the fault, its x, y, v.
CHECKS: tuple[tuple[str, str, Callable[[Instances], np.ndarray], str], ...] = (
    ("area_not_positive", WARNING, lambda a: ~(a.area > 0), NO_AREA),
    ("visibility_negative", SKIPPED, lambda a: a.v < 0, f"v must be 0, 1 or 2, but {XYV}"),
    ("no_labelled_keypoint", SKIPPED, lambda a: ~a.labelled.any(1), "a v must be 1 or 2, but all are 0"),
    ("num_keypoints_zero", SKIPPED, lambda a: a.declared == 0, "num_keypoints must be above 0, but is 0"),
    ("keypoints_at_origin", SKIPPED, lambda a: a.points.max((1, 2)) <= 0, "an x or y must be above 0, but none is"),
    ("keypoints_identical", SKIPPED, _at_one_place, "keypoints must be at several places, but all are at {xyv}"),
    ("bbox_without_area", SKIPPED, _no_area, f"bbox must have an area {IN_IMAGE}, but is {{row[bbox]}}"),
    ("visibility_unknown", WARNING, lambda a: ~np.isin(a.v, (0, 1, 2)), f"v should be 0, 1 or 2, but {XYV}"),
    ("keypoints_at_zero", WARNING, _at_zero, f"v should be 0 where x and y are, if nothing is labelled, but {XYV}"),
    ("keypoints_outside_image", WARNING, _outside_image, f"labelled keypoints should be {IN_IMAGE}, but {XYV}"),
    ("keypoints_outside_bbox", WARNING, _mostly_outside_box, "bbox should surround most keypoints, but is {row[bbox]}"),
)


@dataclass
class Inspection:
    """What is found in an annotation file.

    Attributes:
        file: Its name in the findings.
        findings: The faults; at most one per row because of which a training leaves it out.
        images: The usable entries of ``images`` by their ids.
        skipped: The annotations that a training leaves out for a fault: the name of the check by their indices.
        instances: Those of `read_instances` that MMPose uses by design; ``None`` if the whole file has a fault.
        left_out: How many annotations are not used, and why, for a sentence.
    """

    file: str
    findings: list[Finding] = field(default_factory=list)
    images: dict[int, dict] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    instances: Instances = None
    left_out: str = ""

    def add(self, check: str, severity: str, row: int | None, detail: str) -> None:
        """Add a fault of the file, of an annotation or of an image."""
        self.findings.append(Finding(check, severity, self.file, row, detail))


def inspect_annotations(content: Any, file: str, num_keypoints: int, need_instances: bool = True) -> Inspection:  # noqa: ANN401
    """Check the content of an annotation file in COCO's format.

    Crowds and instances without labelled keypoints are no faults: COCO has 100,000 of them, and MMPose leaves them out.

    Args:
        content: The content of the file.
        file: Name of the file in the findings.
        num_keypoints: K, the number of keypoints of an instance.
        need_instances: Whether the file needs annotations with an instance to train on. It does not if the boxes come
            from another file, as those of COCO's test-dev.
    """
    found = Inspection(file)
    lists = content if isinstance(content, dict) else {}
    for key in ("images", "categories", "annotations"):
        optional = key == "annotations" and not need_instances
        value = lists.get(key, [] if optional else None)
        if not isinstance(value, list) or not (value or optional):
            detail = f"the file must have a list '{key}' with entries, but it is {value!r:.30}"
            found.add("no_list", REFUSED, None, f"{detail}: choose an annotation file in COCO's format")
            return found
    for index, category in enumerate(lists["categories"]):
        fault = entry_fault(category, dict(id=IMAGE["id"]))
        if fault:
            found.add(f"category_{fault[0]}", REFUSED, None, f"in 'categories', entry {index}: {fault[1]}")
    images = _check_entries(lists["images"], IMAGE, "images_", found)
    found.images = {image["id"]: image for image in images.values()}
    if any(finding.severity == REFUSED for finding in found.findings):
        return found
    rows = lists.get("annotations", [])
    good = _check_entries(rows, annotation_keys(found.images, num_keypoints), "", found)
    one = {index: row for index, row in good.items() if row.get("iscrowd") != 1}
    instances = read_instances(one, found.images, num_keypoints)
    empty = ~instances.labelled.any(1) & ((instances.declared == 0) | (instances.points.max((1, 2)) <= 0))
    found.instances = instances[~empty]
    _check_numbers(found.instances, good, found)
    left_out = [f for f in found.findings if f.severity == SKIPPED and not f.check.startswith("images_")]
    found.skipped = {f.row: f.check for f in left_out if f.row is not None}
    crowds, unlabelled, faulty = len(good) - len(one), int(empty.sum()), len(found.skipped)
    found.left_out = f"{crowds} crowds, {unlabelled} without labelled keypoints, {faulty} faulty"
    used = len(rows) - crowds - unlabelled - faulty
    if need_instances and used < max(1, sum(check not in INCOMPLETE for check in found.skipped.values())):
        most = f" (most often {describe_groups(left_out)[0][1]})" if left_out else ""
        detail = f"at least half of the instances must be usable, but {used} of {len(rows)} annotations are"
        fix = "correct the rows or choose another annotation file"
        found.add("too_few_instances", REFUSED, None, f"{detail}; {found.left_out}{most}: {fix}")
    return found


def _check_entries(entries: list, keys: Keys, kind: str, found: Inspection) -> dict[int, dict]:
    """Check keys and ids of annotations, or of images (kind "images_"); return those without a fault by their index."""
    place, good, ids = "in 'images', " if kind else "", {}, set()
    for index, entry in enumerate(entries):
        fault, severity = entry_fault(entry, keys), SKIPPED
        if fault is None and entry["id"] in ids:
            detail = f"each id must occur once, but {entry['id']} occurs again: delete the entry or give it its own id"
            fault, severity = ("id_repeated", detail), REFUSED
        if fault:
            found.add(f"{kind}{fault[0]}", severity, index, f"{place}{fault[1]}")
        else:
            good[index] = entry
            ids.add(entry["id"])
    return good


def _check_numbers(instances: Instances, rows: dict[int, dict], found: Inspection) -> None:
    """Run `CHECKS`; an instance that one of them leaves out is not reported by the next ones."""
    used = np.ones(len(instances), dtype=bool)
    for check, severity, find, sentence in CHECKS:
        fault = find(instances)
        faulty = used & (fault.any(1) if fault.ndim == 2 else fault)
        for place in np.flatnonzero(faulty).tolist():
            index, k = int(instances.index[place]), int(np.argmax(fault[place]))
            row = rows[index]
            texts = dict(row=row, image=found.images[row["image_id"]], area=row.get("area", "missing"))
            detail = sentence.format(**texts, k=k, xyv=row["keypoints"][3 * k : 3 * k + 3])
            found.add(check, severity, index, f"{detail}: correct or delete the row")
        if severity == SKIPPED:
            used &= ~faulty

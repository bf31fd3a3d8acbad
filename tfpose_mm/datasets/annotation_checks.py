"""Check annotations in COCO's json format before a training uses them: a list of checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np

from .annotations import IMAGE, Instances, annotation_keys, entry_fault, read_instances
from .findings import REFUSED, SKIPPED, WARNING, Finding, describe_groups

TOLERANCE = 1.0  # pixels by which boxes and keypoints may leave the image, as some of COCO do
# A file may have many rows without a box or keypoints: MMPose leaves them out by design.
INCOMPLETE = ("bbox_missing", "keypoints_missing")
# MMPose leaves these instances out of a test, too, and AP counts them as missed.
LEFT_OUT_IN_TESTS = ("bbox_without_area", "num_keypoints_zero", "keypoints_at_origin")


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

    @property
    def refused(self) -> list[Finding]:
        """The faults because of which a training stops."""
        return [finding for finding in self.findings if finding.severity == REFUSED]

    def add(self, check: str, severity: str, row: int | None, detail: str) -> None:
        """Add a fault of the file or of an annotation."""
        self.findings.append(Finding(check, severity, self.file, row, detail))
        if severity == SKIPPED and row is not None:
            self.skipped[row] = check


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
    _check_entries(lists, found)
    if found.refused:
        return found
    rows = lists.get("annotations", [])
    good = _check_keys(rows, num_keypoints, found)
    one = {index: row for index, row in good.items() if row.get("iscrowd") != 1}
    instances = read_instances(one, found.images, num_keypoints)
    empty = ~instances.labelled.any(1) & ((instances.declared == 0) | (instances.points.max((1, 2)) <= 0))
    found.instances = instances[~empty]
    _check_numbers(found.instances, good, found)
    crowds, unlabelled, faulty = len(good) - len(one), int(empty.sum()), len(found.skipped)
    found.left_out = f"{crowds} crowds, {unlabelled} without labelled keypoints, {faulty} faulty"
    used = len(rows) - crowds - unlabelled - faulty
    if need_instances and used < max(1, sum(check not in INCOMPLETE for check in found.skipped.values())):
        groups = describe_groups(finding for finding in found.findings if finding.severity == SKIPPED)
        most = f" (most often {groups[0][1]})" if groups else ""
        detail = f"at least half of the instances must be usable, but {used} of {len(rows)} annotations are"
        fix = "correct the rows or choose another annotation file"
        found.add("too_few_instances", REFUSED, None, f"{detail}; {found.left_out}{most}: {fix}")
    return found


def _check_entries(content: dict[str, list], found: Inspection) -> None:
    """Check categories and images; the usable images go into ``found``."""
    for index, category in enumerate(content["categories"]):
        fault = entry_fault(category, dict(id=IMAGE["id"]))
        if fault:
            found.add(f"category_{fault[0]}", REFUSED, None, f"in 'categories', entry {index}: {fault[1]}")
    for index, image in enumerate(content["images"]):
        fault, severity = entry_fault(image, IMAGE), SKIPPED
        if fault is None and found.images.setdefault(image["id"], image) is not image:
            detail = f"each id must occur once, but {image['id']} occurs again: give each image its own id"
            fault, severity = ("id_repeated", detail), REFUSED
        if fault:
            finding = Finding(f"images_{fault[0]}", severity, found.file, index, f"in 'images', {fault[1]}")
            found.findings.append(finding)


def _check_keys(rows: list, num_keypoints: int, found: Inspection) -> dict[int, dict]:
    """Check keys and values of the annotations; return those without a fault by their indices."""
    keys = annotation_keys(found.images, num_keypoints)
    good, ids = {}, set()
    for index, row in enumerate(rows):
        fault = entry_fault(row, keys)
        if fault:
            found.add(fault[0], SKIPPED, index, fault[1])
            continue
        if row["id"] in ids:
            detail = f"each annotation must have its own id, but {row['id']} occurs again: delete or number the row"
            found.add("id_repeated", REFUSED, index, detail)
        good[index] = row
        ids.add(row["id"])
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


def in_tests(finding: Finding, use_area: bool = True) -> Finding:
    """Give a finding of an annotation file the severity that it has in a test.

    The metric reads the annotation file itself and counts every row, also one that the data set leaves out. So a test
    refuses what would change the score silently.

    Args:
        finding: A finding of `inspect_annotations`.
        use_area: Whether the metric uses ``area``, as ``CocoMetric(use_area=True)``.
    """
    is_refused = finding.severity == SKIPPED and finding.check not in LEFT_OUT_IN_TESTS
    if not is_refused and not (use_area and finding.check == "area_not_positive"):
        return finding
    return finding._replace(severity=REFUSED, detail=f"{finding.detail}; the metric of a test uses this row")

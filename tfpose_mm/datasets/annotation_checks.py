"""Check annotations in COCO's json format before a training uses them.

`inspect_annotations` returns every fault of a file. The severity says what a training with `CheckedCocoDataset` does:
it stops, it leaves the row out, or it only reports the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np
from mmpose.datasets.transforms import RandomHalfBody

from .annotation_structure import AnnotationReport, check_images, check_lists, check_rows
from .findings import REFUSED, SKIPPED, WARNING, Finding, describe_group, group_findings

TOLERANCE = 1.0  # pixels by which boxes and keypoints may leave the image, as some of COCO do
# A file may have many rows without a box or keypoints: MMPose leaves them out by design.
INCOMPLETE = ("bbox_missing", "keypoints_missing")
# MMPose leaves these instances out of a test, too, and AP counts them as missed.
LEFT_OUT_IN_TESTS = {"bbox_without_area", "bbox_outside_image", "num_keypoints_zero", "keypoints_at_origin"}


class Rows(NamedTuple):
    """Numbers of N annotations without structural faults.

    Attributes:
        index: (N,), indices in the file.
        box: (N, 4), x, y, width, height in pixels.
        points: (N, K, 2), (x, y) in pixels.
        visibility: (N, K).
        area: (N,), NaN where there is none.
        declared: (N,), the value of num_keypoints, -1 where there is none.
        crowd: (N,), whether the annotation is a crowd.
        size: (N, 2), width and height of the image in pixels.
        image_id: (N,).
    """

    index: np.ndarray
    box: np.ndarray
    points: np.ndarray
    visibility: np.ndarray
    area: np.ndarray
    declared: np.ndarray
    crowd: np.ndarray
    size: np.ndarray
    image_id: np.ndarray

    @classmethod
    def read(cls, rows: Sequence[dict[str, Any]], indices: list[int], num_keypoints: int, sizes: Mapping) -> Rows:
        """Convert rows; ``sizes`` has (width, height) of each image by its id."""
        chosen = [rows[index] for index in indices]
        keypoints = np.array([row["keypoints"] for row in chosen], dtype=np.float64).reshape(-1, num_keypoints, 3)
        return cls(
            index=np.array(indices, dtype=np.int64),
            box=np.array([row["bbox"] for row in chosen], dtype=np.float64).reshape(-1, 4),
            points=keypoints[..., :2],
            visibility=keypoints[..., 2],
            area=np.array([row.get("area", np.nan) for row in chosen], dtype=np.float64),
            declared=np.array([row.get("num_keypoints", -1) for row in chosen], dtype=np.int64),
            crowd=np.array([row.get("iscrowd", 0) == 1 for row in chosen], dtype=bool),
            size=np.array([sizes[row["image_id"]] for row in chosen], dtype=np.float64).reshape(-1, 2),
            image_id=np.array([row["image_id"] for row in chosen], dtype=np.int64),
        )

    def where(self, mask: np.ndarray) -> Rows:
        """The rows of a mask (N,)."""
        return Rows(*(values[mask] for values in self))

    @property
    def labelled(self) -> np.ndarray:
        """Whether each keypoint is labelled: (N, K)."""
        return self.visibility > 0

    @property
    def used(self) -> np.ndarray:
        """Whether a row is neither a crowd nor without labelled keypoints, which MMPose leaves out by design: (N,)."""
        none = ~self.labelled.any(1) & ((self.declared == 0) | (self.points.max((1, 2)) <= 0))
        return ~self.crowd & ~none

    def outside_image(self) -> np.ndarray:
        """Distance of each labelled keypoint from the image in pixels, at most 0 in it: (N, K), -inf if unlabelled."""
        distance = np.maximum(-self.points, self.points - self.size[:, None] + 1).max(2)
        return np.where(self.labelled, distance, -np.inf)

    def at_one_place(self, keypoints: Sequence[int] | slice = slice(None)) -> np.ndarray:
        """Whether the labelled keypoints, or those of some indices, are at one place: (N,)."""
        points, labelled = self.points[:, keypoints], self.labelled[:, keypoints, None]
        return (np.where(labelled, points, -np.inf).max(1) <= np.where(labelled, points, np.inf).min(1)).all(1)

    def texts(self, row: int, keypoint: int) -> dict[str, str]:
        """The numbers of a row and of one of its keypoints, for a sentence."""
        return dict(
            box=_plain(self.box[row]),
            image=f"the image of {_plain(self.size[row])} pixels",
            area=f"{self.area[row]:g}",
            count=str(self.labelled[row].sum()),
            point=f"keypoint {keypoint} is at {_plain(self.points[row, keypoint])}",
            v=f"that of keypoint {keypoint} is {self.visibility[row, keypoint]:.6g}",
        )


def _plain(values: Iterable[float]) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in values)}]"  # as in a json file: [3, 4.5]


class Check(NamedTuple):
    """A check of the numbers of annotations.

    Attributes:
        name: Its name.
        severity: ``SKIPPED`` or ``WARNING``.
        fault: Whether each row has the fault, (N,), or each of its keypoints, (N, K).
        detail: What is expected and what is there, with the names of `Rows.texts`. The keypoint is the first that has
            the fault.
        fix: How to fix it.
    """

    name: str
    severity: str
    fault: Callable[[Rows], np.ndarray]
    detail: str
    fix: str = "correct or delete the row"


def _boxes_outside(rows: Rows) -> np.ndarray:
    ends = np.stack([rows.box[:, :2], rows.box[:, :2] + rows.box[:, 2:]])
    start, end = np.clip(ends, 0, rows.size - 1).astype(np.float32)  # as MMPose clips it
    return (end - start <= 0).any(1) | (end - start < 0.5).all(1)


def _mostly_outside_box(rows: Rows) -> np.ndarray:
    start, end = rows.box[:, None, :2] - TOLERANCE, rows.box[:, None, :2] + rows.box[:, None, 2:] + TOLERANCE
    outside = rows.labelled & ((rows.points < start) | (rows.points > end)).any(2)
    return 2 * outside.sum(1) > rows.labelled.sum(1)


def _repeated(rows: Rows) -> np.ndarray:
    keys = np.column_stack([rows.image_id, rows.points.reshape(len(rows.index), -1)])
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, axis=0, return_index=True)[1]] = False
    return repeated


AREA_FIX = "correct it, or set use_area=False of the data set and CocoMetric"
AREA_CHECKS = (  # also of crowds: CocoMetric divides by their area
    Check("area_missing", WARNING, lambda rows: np.isnan(rows.area), "area should be given, but is missing", AREA_FIX),
    Check(
        "area_not_positive",
        WARNING,
        lambda rows: (rows.area < 0) | (rows.used & (rows.area == 0)),
        "area should be above 0, because AP divides by it, but is {area}",
        AREA_FIX,
    ),
)
CHECKS = (
    Check("visibility_negative", SKIPPED, lambda rows: rows.visibility < 0, "v must be 0, 1 or 2, but {v}"),
    Check("no_labelled_keypoint", SKIPPED, lambda rows: ~rows.labelled.any(1), "a v must be 1 or 2, but all are 0"),
    Check("num_keypoints_zero", SKIPPED, lambda rows: rows.declared == 0, "num_keypoints must be {count}, but is 0"),
    Check(
        "keypoints_far_outside",
        SKIPPED,
        lambda rows: rows.outside_image() > rows.size.max(1)[:, None],
        "labelled keypoints must be in {image}, but {point}",
    ),
    Check(
        "keypoints_all_outside",
        SKIPPED,
        lambda rows: np.where(rows.labelled, rows.outside_image(), np.inf).min(1) > TOLERANCE,
        "labelled keypoints must be in {image}, but none is",
    ),
    Check(
        "keypoints_at_origin",
        SKIPPED,
        lambda rows: rows.points.max((1, 2)) <= 0,
        "a labelled keypoint must have a coordinate above 0, but none has",
    ),
    Check(
        "keypoints_identical",
        SKIPPED,
        lambda rows: (rows.labelled.sum(1) >= 3) & rows.at_one_place(),
        "keypoints must be at different places, but all {count} labelled keypoints are at one",
    ),
    Check(
        "bbox_without_area",
        SKIPPED,
        lambda rows: (rows.box[:, 2:] <= 0).any(1) | (rows.box[:, 2:] < 1).all(1),
        "bbox must have a positive width and height, but is {box}",
    ),
    Check("bbox_outside_image", SKIPPED, _boxes_outside, "bbox must be in {image}, but {box} is outside"),
    Check(
        "visibility_unknown",
        WARNING,
        lambda rows: rows.labelled & (rows.visibility != 1) & (rows.visibility != 2),
        "v should be 0, 1 or 2, but {v}",
    ),
    Check(
        "keypoints_at_zero",
        WARNING,
        lambda rows: rows.labelled & (rows.points == 0).all(2),
        "v of a keypoint at [0, 0] should be 0, but {v}",
        "set it to 0 if the keypoint is not labelled",
    ),
    Check(
        "keypoints_outside_image",
        WARNING,
        lambda rows: rows.outside_image() > TOLERANCE,
        "labelled keypoints should be in {image}, but {point}",
        "correct it or set its v to 0",
    ),
    Check(
        "keypoints_outside_bbox",
        WARNING,
        _mostly_outside_box,
        "bbox should surround the labelled keypoints, but most of the {count} are outside {box}",
    ),
    Check(
        "instance_repeated",
        WARNING,
        _repeated,
        "an instance should occur once, but an earlier row of this image has the same keypoints",
    ),
)


def half_body_checks(transforms: Iterable[object], metainfo: Mapping[str, Any]) -> list[Check]:
    """Checks of the keypoints around which ``RandomHalfBody`` crops; if they are at one place, it gives NaN.

    Args:
        transforms: The steps of a pipeline.
        metainfo: MMPose's parsed metainfo, with ``upper_body_ids`` and ``lower_body_ids``.
    """

    def check(ids: Sequence[int], least: int, least_in_total: int) -> Check:
        def fault(rows: Rows) -> np.ndarray:
            cropped = (rows.labelled[:, ids].sum(1) >= least) & (rows.labelled.sum(1) >= least_in_total)
            return cropped & rows.at_one_place(ids)

        detail = "keypoints must be at different places, because RandomHalfBody crops around the upper or lower body"
        return Check("body_part_identical", SKIPPED, fault, f"{detail}, but those of one are at one place")

    steps = [step for step in transforms if isinstance(step, RandomHalfBody) and step.prob > 0]
    parts = [("upper_body_ids", step.min_upper_keypoints, step.min_total_keypoints) for step in steps]
    parts += [("lower_body_ids", step.min_lower_keypoints, step.min_total_keypoints) for step in steps]
    return [check(metainfo[ids], *least) for ids, *least in parts if metainfo[ids]]


def run_checks(checks: Iterable[Check], rows: Rows, report: AnnotationReport) -> Rows:
    """Add the faults of rows to a report; return the rows that a training does not leave out.

    Args:
        checks: The checks, in order; a row that one of them leaves out is not given to the next ones.
        rows: The rows.
        report: Gets the faults.
    """
    for check in checks:
        fault = check.fault(rows) if len(rows.index) else np.zeros(0, dtype=bool)
        faulty = fault if fault.ndim == 1 else fault.any(1)
        for row in np.flatnonzero(faulty).tolist():
            detail = check.detail.format(**rows.texts(row, int(np.argmax(fault[row]))))
            report.add(check.name, check.severity, int(rows.index[row]), f"{detail}: {check.fix}")
        if check.severity == SKIPPED:
            rows = rows.where(~faulty)
    return rows


def inspect_annotations(
    content: dict[str, Any],
    file: str,
    num_keypoints: int,
    need_instances: bool = True,
    more_checks: Sequence[Check] = (),
) -> tuple[AnnotationReport, Rows | None]:
    """Check the content of an annotation file in COCO's format.

    Crowds and instances without labelled keypoints are no faults: COCO has 100,000 of them, and MMPose leaves them out.

    Args:
        content: The content of the file, as `annotation_files.read_annotations` returns it. Keypoints that are null or
            NaN where v is 0 are set to 0.
        file: Name of the file in the findings.
        num_keypoints: K, the number of keypoints of an instance.
        need_instances: Whether the file needs annotations with an instance to train on. It does not if the boxes come
            from another file, as those of COCO's test-dev.
        more_checks: Checks that depend on the pipeline, as `half_body_checks`.

    Returns:
        The report: at most one fault per row because of which a training leaves it out, and the other faults; and the
        instances without structural faults, ``None`` if the file has a fault as a whole.
    """
    report = AnnotationReport(file)
    check_lists(content, report, need_instances)
    if not report.is_refused:
        check_images(content["images"], report)
    if report.is_refused:
        return report, None
    annotations = content.get("annotations", [])
    good = check_rows(annotations, content["categories"], num_keypoints, report)
    rows = Rows.read(annotations, good, num_keypoints, report.sizes)
    run_checks(AREA_CHECKS, rows, report)
    used = rows.where(rows.used)
    report.crowds = int(rows.crowd.sum())
    report.without_keypoints = len(rows.index) - len(used.index) - report.crowds
    run_checks((*more_checks, *CHECKS), used, report)
    if need_instances:
        _check_what_is_left(len(annotations), report)
    return report, used


def in_tests(finding: Finding, use_area: bool = True) -> Finding:
    """Give a finding of an annotation file the severity that it has in a test.

    The metric reads the annotation file itself and counts every row, also one that the data set leaves out. So a test
    refuses what would change the score silently.

    Args:
        finding: A finding of `inspect_annotations`.
        use_area: Whether the metric uses ``area``, as ``CocoMetric(use_area=True)``.
    """
    refused = finding.severity == SKIPPED and finding.check not in LEFT_OUT_IN_TESTS
    refused |= use_area and finding.check in ("area_missing", "area_not_positive")
    refused |= finding.check == "keypoints_null"
    if not refused:
        return finding
    return finding._replace(severity=REFUSED, detail=f"{finding.detail}; the metric of a test uses this row")


def _check_what_is_left(num_rows: int, report: AnnotationReport) -> None:
    """Refuse a file without an instance to train on, and one whose instances are mostly faulty."""
    if report.is_refused:
        return
    skipped = [f for f in report.findings if f.severity == SKIPPED and f.row in report.skipped_rows]
    most = f" (most often {describe_group(max(group_findings(skipped), key=len))})" if skipped else ""
    used = num_rows - len(report.skipped_rows) - report.crowds - report.without_keypoints
    faulty = {finding.row for finding in skipped if finding.check not in INCOMPLETE}
    if used <= 0:
        detail = (
            f"at least one instance to train on is needed, but of {num_rows} annotations {report.crowds} are crowds, "
            f"{report.without_keypoints} have no labelled keypoint and {len(report.skipped_rows)} are faulty{most}: "
            "correct the rows or choose another annotation file"
        )
        report.add("no_instance", REFUSED, None, detail)
    elif len(faulty) > used:
        detail = f"at least half of the instances must be usable, but {len(faulty)} of {len(faulty) + used} are faulty"
        report.add("too_many_faults", REFUSED, None, f"{detail}{most}: correct the rows")

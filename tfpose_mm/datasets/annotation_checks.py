"""Check annotations in COCO's json format before a training uses them.

`check_annotations` returns every fault of a file. The severity says what a training with `CheckedCocoDataset` does:
it stops, it leaves the row out, or it only reports the row. Standard library and numpy only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .annotation_numbers import BodyPart, check_numbers
from .annotation_structure import AnnotationReport, check_categories, check_images, check_lists, check_rows
from .findings import REFUSED, SKIPPED, Finding

# A file may have many rows without a box or keypoints: MMPose leaves them out by design.
INCOMPLETE = ("bbox_missing", "keypoints_missing")
# MMPose leaves these instances out of a test, too, and AP counts them as missed.
LEFT_OUT_IN_TESTS = {"bbox_without_area", "bbox_outside_image", "num_keypoints_zero", "keypoints_at_origin"}


def check_annotations(content: dict[str, Any], file: str, num_keypoints: int) -> list[Finding]:
    """Check the content of an annotation file in COCO's format.

    Crowds and instances without labelled keypoints are no faults: COCO has 100,000 of them, and MMPose leaves them out.

    Args:
        content: The content of the file, as `annotation_files.read_annotations` returns it. See
            :func:`inspect_annotations` for what is changed.
        file: Name of the file in the findings.
        num_keypoints: K, the number of keypoints of an instance.

    Returns:
        All faults: at most one structural fault per row, and each fault of its numbers.
    """
    return inspect_annotations(content, file, num_keypoints).findings


def inspect_annotations(
    content: dict[str, Any],
    file: str,
    num_keypoints: int,
    need_instances: bool = True,
    parts: Sequence[BodyPart] = (),
) -> AnnotationReport:
    """Check as `check_annotations`, and count.

    Args:
        content: The content of the file. Coordinates that are null or NaN where v is 0 are set to 0.
        file: Name of the file in the findings.
        num_keypoints: K, the number of keypoints of an instance.
        need_instances: Whether the file needs annotations with an instance to train on. It does not if the boxes come
            from another file, as those of COCO's test-dev.
        parts: Parts of the body that need an extent, because the pipeline crops around them.

    Returns:
        The findings, the rows and images that a training leaves out, and the counts of the other rows.
    """
    report = AnnotationReport(file)
    if not check_lists(content, report, need_instances):
        return report
    categories = check_categories(content, report)
    sizes = check_images(content, report)
    report.image_ids = set(sizes)
    if report.is_refused:
        return report  # the rows cannot be interpreted
    rows = content.get("annotations", [])
    indices = check_rows(rows, sizes, categories, num_keypoints, report)
    check_numbers(rows, indices, sizes, num_keypoints, report, parts)
    if need_instances:
        check_what_is_left(len(rows), report)
    return report


def in_tests(finding: Finding, use_area: bool = True) -> Finding:
    """Give a finding of an annotation file the severity that it has in a test.

    The metric reads the annotation file itself and counts every row, also one that the data set leaves out. So a test
    refuses what would change the score silently.

    Args:
        finding: A finding of `check_annotations`.
        use_area: Whether the metric uses ``area``, as ``CocoMetric(use_area=True)``.
    """
    refused = finding.severity == SKIPPED and finding.check not in LEFT_OUT_IN_TESTS
    refused |= use_area and finding.check in ("area_missing", "area_not_positive")
    refused |= finding.check == "keypoints_null"
    if not refused:
        return finding
    return finding._replace(severity=REFUSED, detail=f"{finding.detail}; the metric of a test uses this row")


def check_what_is_left(num_rows: int, report: AnnotationReport) -> None:
    """Refuse a file without an instance to train on, and one whose instances are mostly faulty.

    Args:
        num_rows: The number of annotations.
        report: What the other checks found; gets the fault.
    """
    if report.is_refused:
        return
    used = num_rows - len(report.skipped_rows) - report.crowds - report.without_keypoints
    faulty = {f.row for f in report.findings if f.severity == SKIPPED and f.check not in INCOMPLETE}
    faulty &= report.skipped_rows
    reason = _most_frequent(report)
    if used <= 0:
        report.add(
            "no_instance",
            REFUSED,
            None,
            f"at least one instance to train on is needed, but of {num_rows} annotations {report.crowds} are crowds, "
            f"{report.without_keypoints} have no labelled keypoint and {len(report.skipped_rows)} are faulty{reason}: "
            "correct the rows or choose another annotation file",
        )
    elif len(faulty) > used:
        report.add(
            "too_many_faults",
            REFUSED,
            None,
            f"at least half of the instances must be usable, but {len(faulty)} of {len(faulty) + used} are faulty"
            f"{reason}: correct the rows",
        )


def _most_frequent(report: AnnotationReport) -> str:
    skipped = [f for f in report.findings if f.severity == SKIPPED and f.row in report.skipped_rows]
    if not skipped:
        return ""
    groups = group_findings(skipped)
    return f" (most often {max(groups, key=lambda group: group.count)})"


class FindingGroup(NamedTuple):
    """All findings of one check.

    Attributes:
        check: The name of the check.
        severity: The severity of the findings.
        count: The number of findings.
        first: Up to three of the findings.
    """

    check: str
    severity: str
    count: int
    first: tuple[Finding, ...]

    def __str__(self) -> str:
        """The count, the first places and the sentence of the first finding."""
        places = [str(finding.row) for finding in self.first if finding.row is not None]
        more = ", ..." if self.count > len(self.first) else ""
        rows = f" in row{'s' if self.count > 1 else ''} {', '.join(places)}{more}" if places else ""
        return f"{self.check}: {self.count}{rows}; {self.first[0].detail}"


def group_findings(findings: Iterable[Finding]) -> list[FindingGroup]:
    """Group findings by check and severity, in the order of their first findings, for a print of readable length."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.check, finding.severity), []).append(finding)
    return [FindingGroup(*key, len(group), tuple(group[:3])) for key, group in groups.items()]

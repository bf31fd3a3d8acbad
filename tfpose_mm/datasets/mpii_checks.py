"""Check annotations in MPII's json format, as MMPose's ``MpiiDataset`` reads it.

The file is a list with an object for each person: ``image``, ``center`` [x, y], ``scale``, the height of the person in
pixels / 200, ``joints`` [[x, y], ...] in pixels, and ``joints_vis`` with 1 for each labelled joint, else 0. It has no
image sizes. Standard library and numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .annotation_checks import check_what_is_left
from .annotation_files import json_type
from .annotation_numbers import BodyPart, check_numbers
from .annotation_structure import KEY_DETAIL, LIMIT, AnnotationReport, is_number
from .findings import REFUSED, SKIPPED, WARNING, Finding

REQUIRED = ("image", "center", "scale", "joints", "joints_vis")
PIXELS = 200.0  # of a person with scale 1
NO_POSITION = [-1, -1]  # the centre of a person without one
UNKNOWN = (float("nan"), float("nan"))  # the size of an image
OUTSIDE = ("keypoints_far_outside", "keypoints_all_outside", "keypoints_outside_image")


def inspect_mpii(
    content: Any,  # noqa: ANN401 - any json
    file: str,
    num_keypoints: int,
    need_instances: bool = True,
    parts: Sequence[BodyPart] = (),
) -> AnnotationReport:
    """Check the content of an annotation file in MPII's json format.

    Args:
        content: The content of the file. It is not changed.
        file: Name of the file in the findings.
        num_keypoints: K, 16 for MPII.
        need_instances: Whether the file needs persons with labelled joints to train on.
        parts: Parts of the body that need an extent, because the pipeline crops around them.

    Returns:
        The findings, and the rows that a training leaves out.
    """
    report = AnnotationReport(file)
    if not isinstance(content, list) or not content:
        got = "an empty list" if isinstance(content, list) else json_type(content)
        detail = f"a file in MPII's json format must be a list of persons, but is {got}: choose another ann_file"
        report.add("mpii_not_a_list", REFUSED, None, detail)
        return report
    good = _check_rows(content, num_keypoints, report)
    if report.is_refused:
        return report
    rows = coco_rows(content, good)
    check_numbers(rows, good, dict.fromkeys(good, UNKNOWN), num_keypoints, report, parts)
    # the square around a person may leave the image: MpiiDataset does not cut it
    report.findings = [finding for finding in report.findings if finding.check != "bbox_beyond_image"]
    if need_instances or not good:
        check_what_is_left(len(content), report)
    return report


def mpii_in_tests(finding: Finding) -> Finding:
    """Give a finding of `inspect_mpii` the severity that it has in a test: PCK must be that of all persons."""
    if finding.severity != SKIPPED:
        return finding
    return finding._replace(severity=REFUSED, detail=f"{finding.detail}; a test needs all rows of the file")


def check_joints_in_images(
    content: list, report: AnnotationReport, num_keypoints: int, sizes: Mapping[str, tuple[int, int]]
) -> list[Finding]:
    """Find labelled joints outside the image; a training uses these rows, because the file has no image sizes.

    Args:
        content: The content of the file.
        report: What `inspect_mpii` has found in it.
        num_keypoints: K.
        sizes: (width, height) in pixels of the images that could be read, by their names in the file.

    Returns:
        The findings that are not in the report.
    """
    good = [index for index in range(len(content)) if index not in report.skipped_rows]
    known = {index: sizes.get(content[index]["image"], UNKNOWN) for index in good}
    other = AnnotationReport(report.file)
    check_numbers(coco_rows(content, good), good, known, num_keypoints, other)
    reported = {finding.row for finding in report.findings if finding.check in OUTSIDE}
    return [
        finding._replace(severity=WARNING)
        for finding in other.findings
        if finding.check in OUTSIDE and finding.row not in reported
    ]


def coco_rows(content: list, indices: Sequence[int]) -> list[Any]:
    """Rewrite rows without structural faults as annotations of COCO, with the box that ``MpiiDataset`` makes.

    Args:
        content: The content of the file.
        indices: The rows.

    Returns:
        A list as long as the file, with ``None`` for the other rows. The id of a row and of its image is its index.
    """
    rows: list[Any] = [None] * len(content)
    for index in indices:
        row, side = content[index], PIXELS * content[index]["scale"]
        x, y = row["center"]
        y = y + 0.075 * side if x != NO_POSITION[0] else y
        joints = [number for joint, v in zip(row["joints"], row["joints_vis"]) for number in (*joint[:2], v)]
        rows[index] = dict(
            id=index,
            image_id=index,
            category_id=1,
            bbox=[x - 1 - side / 2, y - 1 - side / 2, side, side],
            area=0.53 * side * side,
            keypoints=joints,
            num_keypoints=int(sum(row["joints_vis"])),
        )
    return rows


def _check_rows(content: list, num_keypoints: int, report: AnnotationReport) -> list[int]:
    """Check keys and types, centre and scale of the rows; return the indices of those without a fault."""
    good, wrong_length = [], []
    for index, row in enumerate(content):
        fault = _row_fault(row)
        if fault:
            report.skip_row(fault[0], index, fault[1])
        elif not len(row["joints"]) == len(row["joints_vis"]) == num_keypoints:
            wrong_length.append(index)
        else:
            good.append(index)
            if row["center"] == NO_POSITION:
                detail = "center should be the position of the person, but is [-1, -1], which means none: correct it"
                report.add("no_position", WARNING, index, detail)
    lengths = [f"{len(content[index]['joints'])} and {len(content[index]['joints_vis'])}" for index in wrong_length]
    details = [f"joints and joints_vis must have {num_keypoints} entries, but have {length}" for length in lengths]
    if len(wrong_length) > len(good):
        detail = f"{details[0]}, and {len(wrong_length) - 1} other rows are wrong, too: choose another ann_file"
        report.add("joints_length", REFUSED, wrong_length[0], detail)
    else:
        for index, detail in zip(wrong_length, details):
            report.skip_row("joints_length", index, f"{detail}: correct or delete the row")
    return good


def _row_fault(row: object) -> tuple[str, str] | None:
    """The first fault of a person as (check, detail); not of the length of the lists and the numbers of joints."""
    if type(row) is not dict:
        return "annotation_not_object", f"each person must be an object, but this is {json_type(row)}: delete it"
    for key in REQUIRED:
        if key not in row:
            return "key_missing", KEY_DETAIL.format(key)
    if not _is_image_name(row["image"]):
        return (
            "image_name",
            "image must be a name whose part before the first point is a whole number, as '015601864.jpg', but is "
            f"{row['image']!r:.50}: correct it",
        )
    center, scale = row["center"], row["scale"]
    if not _is_point(center) or not all(abs(value) <= LIMIT for value in center):
        return "center", f"center must be [x, y] in pixels, but is {center!r:.50}: correct or delete the row"
    if not is_number(scale) or not 1 / PIXELS <= scale <= LIMIT / PIXELS:
        return (
            "scale",
            f"scale must be the height of the person in pixels / 200, from 0.005 to {LIMIT / PIXELS:,.0f}, but is "
            f"{scale!r:.50}: correct or delete the row",
        )
    joints, visible = row["joints"], row["joints_vis"]
    if type(joints) is not list or not all(map(_is_point, joints)):
        return "joints_type", f"joints must be a list of [x, y], but is {joints!r:.50}: correct or delete the row"
    if type(visible) is not list or not all(is_number(value) and value in (0, 1) for value in visible):
        return "joints_vis", f"joints_vis must be a list of 0 and 1, but is {visible!r:.80}: correct it"
    return None


def _is_image_name(value: object) -> bool:
    """Whether MMPose can read the id of the image from its name."""
    if type(value) is not str or "\0" in value or "." not in value:
        return False
    try:
        int(value.split(".")[0])
    except ValueError:
        return False
    return True


def _is_point(value: object) -> bool:
    return type(value) is list and len(value) == 2 and all(map(is_number, value))

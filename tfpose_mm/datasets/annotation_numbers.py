"""Check the numbers of annotations in COCO's json format: boxes, keypoints, areas, counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Callable, NamedTuple

import numpy as np

from .annotation_arrays import Rows, to_arrays
from .annotation_structure import LIMIT, UNLABELLED, AnnotationReport
from .findings import WARNING

TOLERANCE = 1.0  # pixels by which boxes and keypoints may leave the image, as some of COCO do
FIX = "correct or delete the row"


class BodyPart(NamedTuple):
    """Keypoints around which half-body augmentation may crop.

    Attributes:
        keypoints: Their indices.
        least: The number of them that must be labelled.
        least_in_total: The number of all keypoints that must be labelled.
    """

    keypoints: Sequence[int]
    least: int
    least_in_total: int


def check_numbers(
    rows: list[dict[str, Any]],
    indices: list[int],
    sizes: dict[int, tuple[float, float]],
    num_keypoints: int,
    report: AnnotationReport,
    parts: Sequence[BodyPart] = (),
) -> None:
    """Check the numbers of annotations without structural faults, and count crowds and unlabelled instances.

    Args:
        rows: All annotations of the file.
        indices: The rows to check.
        sizes: (width, height) in pixels of each image by its id; with NaN, only negative coordinates are outside.
        num_keypoints: K.
        report: Gets the faults, the rows to leave out and the counts.
        parts: Parts of the body that need an extent, because the pipeline crops around them.
    """
    data = to_arrays(rows, indices, sizes, num_keypoints)
    _fill_unlabelled(rows, data, report)
    for check, fault, detail in _not_finite(data):
        _skip(report, data, check, fault, detail)
    data = data.where(~np.isin(data.index, list(report.skipped_rows)))
    for check, fault, detail in _area_warnings(data):  # also of crowds: CocoMetric divides by their area
        _warn(report, data, check, fault, detail)

    # what MMPose leaves out by design
    unlabelled = ~data.labelled.any(1) & ((data.declared == 0) | (data.points.max((1, 2)) <= 0))
    report.crowds = int(data.crowd.sum())
    report.without_keypoints = int((unlabelled & ~data.crowd).sum())
    data = data.where(~data.crowd & ~unlabelled)

    for check, fault, detail in chain(_label_faults(data), _part_faults(data, parts), _box_faults(data)):
        _skip(report, data, check, fault, detail)
    data = data.where(~np.isin(data.index, list(report.skipped_rows)))
    for check, fault, detail in chain(_label_warnings(data), _box_warnings(data)):
        _warn(report, data, check, fault, detail)
    _warn_of_repeated_instances(data, report)


def _fill_unlabelled(rows: list[dict[str, Any]], data: Rows, report: AnnotationReport) -> None:
    """Set NaN to 0 where v is 0, in the arrays and in the rows."""
    empty = np.isnan(data.points).any(2) & (data.visibility == 0)
    for place in np.flatnonzero(empty.any(1)).tolist():
        index = int(data.index[place])
        report.add("keypoints_null", WARNING, index, UNLABELLED)
        for keypoint in np.flatnonzero(empty[place]).tolist():
            rows[index]["keypoints"][3 * keypoint : 3 * keypoint + 2] = [0, 0]
    data.points[empty] = 0


_Check = Iterable[tuple[str, np.ndarray, Callable[[int], str]]]  # name, (N,) whether a row has the fault, sentence


def _skip(report: AnnotationReport, data: Rows, check: str, fault: np.ndarray, detail: Callable[[int], str]) -> None:
    for place in np.flatnonzero(fault).tolist():
        report.skip_row(check, int(data.index[place]), detail(place))


def _warn(report: AnnotationReport, data: Rows, check: str, fault: np.ndarray, detail: Callable[[int], str]) -> None:
    for place in np.flatnonzero(fault).tolist():
        report.add(check, WARNING, int(data.index[place]), detail(place))


def _not_finite(data: Rows) -> _Check:
    finite = f"finite and at most {LIMIT:,.0f}"
    yield (
        "bbox_not_finite",
        ~(np.abs(data.box) <= LIMIT).all(1),  # NaN is not <= LIMIT
        lambda i: f"the numbers of bbox must be {finite}, but are {_plain(data.box[i])}: {FIX}",
    )
    good = (np.abs(data.points) <= LIMIT).all(2) & (np.abs(data.visibility) <= LIMIT)  # (N, K)
    yield (
        "keypoints_not_finite",
        ~good.all(1),
        lambda i: (
            f"the numbers of keypoints must be {finite}, but keypoint {np.argmin(good[i])} is "
            f"{_plain([*data.points[i, np.argmin(good[i])], data.visibility[i, np.argmin(good[i])]])}: {FIX}"
        ),
    )
    yield (
        "area_not_finite",
        data.has_area & ~(np.abs(data.area) <= LIMIT**2),
        lambda i: f"area must be finite and at most {LIMIT**2:,.0f}, but is {data.area[i]}: {FIX}",
    )


def _area_warnings(data: Rows) -> _Check:
    yield (
        "area_missing",
        ~data.has_area,
        lambda i: "area should be given, but is missing: add it, or set use_area=False of the data set and CocoMetric",
    )
    yield (
        "area_not_positive",
        data.has_area & (data.area < 0),
        lambda i: f"area should be above 0, because AP divides by it, but is {data.area[i]:g}: correct it",
    )


def _label_faults(data: Rows) -> _Check:
    labelled, count = data.labelled, data.labelled.sum(1)
    yield (
        "visibility_negative",
        (data.visibility < 0).any(1),
        lambda i: f"visibilities must be 0, 1 or 2, but {_plain([data.visibility[i].min()])} is among them: {FIX}",
    )
    yield (
        "no_labelled_keypoint",
        count == 0,
        lambda i: f"an instance must have a keypoint with visibility 1 or 2, but all have 0: {FIX}",
    )
    yield (
        "num_keypoints_zero",
        (data.declared == 0) & (count > 0),
        lambda i: f"num_keypoints must be the number of labelled keypoints, {count[i]}, but is 0: correct it",
    )
    overshoot = np.maximum(-data.points, data.points - data.size[:, None] + 1).max(2)  # (N, K), pixels
    far = labelled & (overshoot > data.size.max(1)[:, None])
    yield (
        "keypoints_far_outside",
        far.any(1),
        lambda i: (
            f"labelled keypoints must be in {_image(data.size[i])}, but keypoint "
            f"{np.argmax(far[i])} is at {_plain(data.points[i, np.argmax(far[i])])}: {FIX}"
        ),
    )
    yield (
        "keypoints_all_outside",
        (count > 0) & (~labelled | (overshoot > TOLERANCE)).all(1),
        lambda i: f"labelled keypoints must be in {_image(data.size[i])}, but none is: {FIX}",
    )
    yield (
        "keypoints_at_origin",
        (count > 0) & (data.points.max((1, 2)) <= 0),
        lambda i: f"a labelled keypoint must have a coordinate above 0, but none has: {FIX}",
    )
    yield (
        "keypoints_identical",
        (count >= 3) & (data.span() <= 0).all(1),
        lambda i: f"keypoints must be at different places, but all {count[i]} labelled keypoints are at one: {FIX}",
    )


def _part_faults(data: Rows, parts: Sequence[BodyPart]) -> _Check:
    count = data.labelled.sum(1)
    for part in parts:
        chosen = np.array(part.keypoints)
        enough = (data.labelled[:, chosen].sum(1) >= part.least) & (count >= part.least_in_total)
        yield (
            "body_part_identical",
            enough & (data.span(chosen) <= 0).all(1),
            lambda i: (
                "keypoints of the upper or lower body must be at different places, because RandomHalfBody crops around "
                f"them, but are at one: {FIX}"
            ),
        )


def _box_faults(data: Rows) -> _Check:
    yield (
        "bbox_without_area",
        (data.box[:, 2:] <= 0).any(1) | (data.box[:, 2:] < 1).all(1),
        lambda i: f"bbox must have a positive width and height, but is {_plain(data.box[i])}: {FIX}",
    )
    last = data.size - 1
    start = np.clip(data.box[:, :2], 0, last).astype(np.float32)  # as MMPose clips it
    end = np.clip(data.box[:, :2] + data.box[:, 2:], 0, last).astype(np.float32)
    outside = (end - start <= 0).any(1) | (end - start < 0.5).all(1)
    yield (
        "bbox_outside_image",
        outside & (data.box[:, 2:] > 0).all(1) & (data.box[:, 2:] >= 1).any(1),
        lambda i: f"bbox must be in {_image(data.size[i])}, but {_plain(data.box[i])} is outside: {FIX}",
    )


def _label_warnings(data: Rows) -> _Check:
    labelled, count = data.labelled, data.labelled.sum(1)
    strange = labelled & (data.visibility != 1) & (data.visibility != 2)
    yield (
        "visibility_unknown",
        strange.any(1),
        lambda i: (
            f"visibilities should be 0, 1 or 2, but keypoint {np.argmax(strange[i])} has "
            f"{_plain([data.visibility[i, np.argmax(strange[i])]])}: correct it"
        ),
    )
    zero = labelled & (data.points == 0).all(2)
    yield (
        "keypoints_at_zero",
        zero.any(1),
        lambda i: (
            f"a keypoint at [0, 0] should have visibility 0, but keypoint {np.argmax(zero[i])} has "
            f"{_plain([data.visibility[i, np.argmax(zero[i])]])}: set it to 0 if the keypoint is not labelled"
        ),
    )
    yield (
        "num_keypoints_wrong",
        (data.declared >= 0) & (data.declared != count),
        lambda i: (
            f"num_keypoints should be the number of labelled keypoints, {count[i]}, but is {data.declared[i]}: "
            "correct it"
        ),
    )
    beyond = (data.points < -TOLERANCE) | (data.points > data.size[:, None] - 1 + TOLERANCE)
    beyond = labelled & beyond.any(2)
    yield (
        "keypoints_outside_image",
        beyond.any(1),
        lambda i: (
            f"labelled keypoints should be in {_image(data.size[i])}, but keypoint "
            f"{np.argmax(beyond[i])} is at {_plain(data.points[i, np.argmax(beyond[i])])}: correct it or set its "
            "visibility to 0"
        ),
    )
    start, end = data.box[:, None, :2], data.box[:, None, :2] + data.box[:, None, 2:]
    out = labelled & ((data.points < start - TOLERANCE) | (data.points > end + TOLERANCE)).any(2)
    yield (
        "keypoints_outside_bbox",
        out.sum(1) > count / 2,
        lambda i: (
            f"bbox should surround the labelled keypoints, but {out[i].sum()} of {count[i]} are outside "
            f"{_plain(data.box[i])}: correct the row"
        ),
    )


def _box_warnings(data: Rows) -> _Check:
    start, end = data.box[:, :2], data.box[:, :2] + data.box[:, 2:]
    yield (
        "bbox_beyond_image",
        ((start < -TOLERANCE) | (end > data.size + TOLERANCE)).any(1),
        lambda i: (
            f"bbox should be in {_image(data.size[i])}, but is {_plain(data.box[i])}: MMPose uses the part in the image"
        ),
    )
    yield (
        "area_not_positive",
        data.has_area & (data.area == 0),
        lambda i: f"area should be above 0, because AP divides by it, but is {data.area[i]:g}: correct it",
    )
    box_area = data.box[:, 2] * data.box[:, 3]
    yield (
        "area_above_bbox",
        data.has_area & (data.area > 1.05 * box_area + 1),
        lambda i: f"area should be at most the area of bbox, {box_area[i]:g}, but is {data.area[i]:g}: correct it",
    )


def _warn_of_repeated_instances(data: Rows, report: AnnotationReport) -> None:
    """Warn of instances with the same keypoints in the same image."""
    first: dict[tuple[int, bytes], int] = {}
    for place, index in enumerate(data.index.tolist()):
        key = (int(data.image_id[place]), data.points[place].tobytes())
        earlier = first.setdefault(key, index)
        if earlier != index:
            detail = f"each instance should occur once, but row {earlier} has the same keypoints: delete one"
            report.add("instance_repeated", WARNING, index, detail)


def _image(size: np.ndarray) -> str:
    """Name the image by its size, if it is known."""
    return "the image" if np.isnan(size).any() else f"the image of {_plain(size)} pixels"


def _plain(values: Iterable[float]) -> str:
    """Write numbers as in a json file: ``[3, 4.5]``, or a single number without brackets."""
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

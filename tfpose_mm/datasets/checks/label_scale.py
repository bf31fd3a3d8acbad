"""Find keypoints and boxes in other units or in another order of numbers than the file's format has."""

from __future__ import annotations

from typing import Callable

import numpy as np

from ..findings import WARNING, Finding
from .instances import Instances

MARGIN = 0.1  # of the box, in which keypoints count as inside
FITS = 0.9  # fraction of the labelled keypoints that must be inside the box after the correction
SUSPICIOUS = 0.6  # fraction below which the row is examined


def inside_fraction(data: Instances, points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Fraction of the labelled keypoints inside the boxes.

    Args:
        data: The instances, for the labels.
        points: (N, K, 2), (x, y) in pixels.
        boxes: (N, 4), x, y, width, height in pixels.

    Returns:
        (N,), 0 to 1.
    """
    margin = MARGIN * boxes[:, None, 2:]
    start = boxes[:, None, :2] - margin
    end = boxes[:, None, :2] + boxes[:, None, 2:] + margin
    inside = ((points >= start) & (points <= end)).all(2) & data.labelled
    return inside.sum(1) / np.maximum(data.labelled.sum(1), 1)


def check_label_scale(data: Instances, file: str) -> list[Finding]:
    """Explain rows whose keypoints are not in the box by the usual mistakes of a conversion.

    Args:
        data: The instances.
        file: Name of the annotation file.

    Returns:
        A finding for each row that fits its box after one correction of its units, its origin or its order.
    """
    if not len(data.rows):
        return []
    findings, open_rows = _columns(data, file)
    corners = open_rows & _has_corners(data)
    for row, box in zip(data.rows[corners], data.boxes[corners]):
        detail = (
            f"bbox should be [x, y, width, height], but {_text(box)} leaves the image and fits as [x1, y1, x2, y2]: "
            "convert the box"
        )
        findings.append(Finding("bbox_format", WARNING, file, int(row), detail))
    open_rows &= ~corners & (inside_fraction(data, data.points, data.boxes) < SUSPICIOUS)
    fitting = []
    for check, applies, points, boxes, explain in _corrections(data):
        fits = open_rows & applies & (inside_fraction(data, points, boxes) >= FITS)
        fitting.append((check, fits, explain))
    # 0 to 1 is clear; of the other corrections of a row, the most frequent one of the file is the most probable
    for check, fits, explain in [*fitting[:2], *sorted(fitting[2:], key=lambda one: -one[1].sum())]:
        fits = fits & open_rows
        open_rows = open_rows & ~fits
        findings += [Finding(check, WARNING, file, int(data.rows[i]), explain(int(i))) for i in np.flatnonzero(fits)]
    return findings


def _columns(data: Instances, file: str) -> tuple[list[Finding], np.ndarray]:
    """Find rows whose visibility is in the column of a coordinate; also return the other rows (N,)."""
    flags = np.array([0, 1, 2])
    unknown = ~np.isin(data.visibility, flags).all(1)  # (N,)
    swapped = unknown[:, None] & np.isin(data.points, flags).all(1)  # (N, 2)
    findings = []
    for place in np.flatnonzero(swapped.any(1)):
        order = "v, x, y" if swapped[place, 0] else "x, v, y"
        detail = (
            f"each keypoint should be x, y, v, but the numbers fit as {order}: write the three numbers in this order"
        )
        findings.append(Finding("keypoint_columns", WARNING, file, int(data.rows[place]), detail))
    return findings, ~swapped.any(1)


def _has_corners(data: Instances) -> np.ndarray:
    """Whether a box leaves the image as [x, y, width, height], but fits as [x1, y1, x2, y2]: (N,)."""
    end = data.boxes[:, :2] + data.boxes[:, 2:]
    leaves = (end > data.sizes + 1).any(1)
    size = data.boxes[:, 2:] - data.boxes[:, :2]
    valid = leaves & (size > 0).all(1) & (data.boxes[:, 2:] <= data.sizes + 1).all(1)
    boxes = np.concatenate([data.boxes[:, :2], np.maximum(size, 0)], axis=1)
    return valid & (inside_fraction(data, data.points, boxes) >= FITS)


def _corrections(data: Instances) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray, Callable[[int], str]]]:
    """Name, rows to which it applies (N,), corrected points, corrected boxes and sentence of each mistake."""
    boxes, corner, size = data.boxes, data.boxes[:, None, :2], data.boxes[:, None, 2:]
    labelled = data.labelled[..., None]
    low = np.where(labelled, data.points, np.inf).min(1)  # (N, 2)
    high = np.where(labelled, data.points, -np.inf).max(1)
    everywhere = np.ones(len(boxes), dtype=bool)
    normalised = (low >= -0.01).all(1) & (high <= 1.01).all(1) & (boxes[:, 2:] > 4).any(1)
    factor = _factor(boxes, low, high)
    centred = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)
    pixels = "keypoints should be in pixels of the image, but"

    def says(text: str) -> Callable[[int], str]:
        return lambda _: text

    def scaled(index: int) -> str:
        return f"{pixels} fit the box after a multiplication by {factor[index]:.3g}: use the scale of the boxes"

    return [
        (
            "label_scale",
            normalised,
            data.points * data.sizes[:, None],
            boxes,
            says(f"{pixels} are 0 to 1: multiply x by the image's width and y by its height"),
        ),
        (
            "label_scale",
            normalised,
            data.points * size + corner,
            boxes,
            says(f"{pixels} are 0 to 1 of the box: multiply by its width and height and add its corner"),
        ),
        (
            "label_scale",
            everywhere,
            data.points + corner,
            boxes,
            says(f"{pixels} fit the box as coordinates of a crop: add the corner of the box"),
        ),
        ("bbox_format", everywhere, data.points, centred, says(
            "bbox should be [x, y, width, height] with the upper left corner, but the keypoints fit if x and y are the "
            "centre: subtract half of width and height"
        )),
        (
            "label_scale",
            everywhere,
            data.points[..., ::-1],
            boxes,
            says("keypoints should be x, y, v, but fit the box as y, x, v: exchange x and y"),
        ),
        ("label_scale", np.isfinite(factor), data.points * np.nan_to_num(factor)[:, None, None], boxes, scaled),
    ]  # fmt: skip


def _factor(boxes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Factor (N,) that gives the keypoints the extent and the place of the box; NaN if there is none."""
    extent = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.linalg.norm(boxes[:, :2] + boxes[:, 2:] / 2, axis=1) / np.linalg.norm((low + high) / 2, axis=1)
        covered = extent * factor[:, None] / boxes[:, 2:]
    good = ((covered > 0.5) & (covered < 1.2)).all(1) & ((factor < 0.7) | (factor > 1.4))
    return np.where(good, factor, np.nan)


def _text(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"

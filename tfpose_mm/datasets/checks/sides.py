"""Find labels whose left and right are exchanged.

The line from the left to the right keypoint of a flip pair has nearly the same direction as that of a linked pair:
shoulders and hips, hips and knees. Exchanging one pair turns its line around. The sum of the squared lengths of the two
links between two pairs is smaller after an exchange exactly if the dot product of both lines is negative. So "the limbs
cross" and "the lines are opposite" is the same statistic.
"""

from __future__ import annotations

import numpy as np

from ..findings import WARNING, Finding
from .instances import Instances, Keypoints

MIN_ROWS = 20  # rows that a statistic of the whole file needs
# Sum of dot products, in units of the box area, below which a row is reported. docs/check_data.md has the measurement.
ROW_LIMIT = -0.03
LINK_LIMIT = -0.05  # dot product of two lines, in units of the box area, below which they are clearly opposite
OFTEN = 0.03  # fraction of rows with clearly opposite lines above which the file is reported
FACE_LIMIT = -0.5  # sine of the angle between the line of the eyes and the nose; correct labels have a positive sine
Z = 3.0  # standard errors of a fraction
FACE = ("nose", "left_eye", "right_eye")

Pair = tuple[int, int]
Edge = tuple[Pair, Pair]
Dots = dict[Edge, np.ndarray]


def check_sides(data: Instances, keypoints: Keypoints, file: str) -> list[Finding]:
    """Find flip pairs whose left and right are exchanged, in the whole file or in single rows.

    An exchange of all pairs of an instance at once gives no opposite lines. Only the face shows it, in
    :func:`check_faces`.

    Args:
        data: The instances.
        keypoints: Flip pairs and links.
        file: Name of the annotation file.

    Returns:
        - a finding for each pair that is exchanged in most rows,
        - a finding for each link whose lines are clearly opposite in more rows than in correct data, and for each of
          these rows,
        - a finding for each other row with a pair whose lines are opposite to those of all its linked pairs. A pair
          with one linked pair, as the wrists, is left out: crossed legs look like exchanged ankles.
    """
    dots = _dot_products(data, keypoints)
    opposite = {edge for edge, values in dots.items() if _above(values < 0, values != 0, 0.5)}
    findings, explained = [], set()
    touching = {pair: {edge for edge in dots if pair in edge} for pair in keypoints.pairs}
    for pair in sorted(keypoints.pairs, key=lambda pair: -len(touching[pair])):
        if touching[pair] and touching[pair] <= opposite and touching[pair] - explained:
            explained |= touching[pair]
            findings.append(_exchanged_pair(pair, touching[pair], dots, keypoints, file))
    for edge in sorted(opposite - explained):
        findings.append(_exchanged_between(edge, dots[edge], keypoints, file))
    rows = _contradicted_rows(dots, touching, opposite, keypoints, len(data.rows))
    for edge in sorted(set(dots) - opposite):
        clear = dots[edge] < LINK_LIMIT
        if _above(clear, dots[edge] != 0, OFTEN):
            findings.append(_often_opposite(edge, clear, dots[edge] != 0, keypoints, file))
            rows = {**dict.fromkeys(np.flatnonzero(clear).tolist(), edge[1]), **rows}
    return findings + [_row(int(data.rows[place]), rows[place], keypoints, file) for place in sorted(rows)]


def _dot_products(data: Instances, keypoints: Keypoints) -> Dots:
    """Dot products of the lines of linked pairs in units of the box area, (N,); 0 where a keypoint has no label."""
    pair_of = {index: pair for pair in keypoints.pairs for index in pair}
    lines = {p: (data.points[:, p[0]] - data.points[:, p[1]]) / data.scale[:, None] for p in keypoints.pairs}
    for pair, line in lines.items():
        line[~data.labelled[:, pair].all(1)] = 0
    dots: Dots = {}
    for start, end in keypoints.links:
        first, second = pair_of.get(start), pair_of.get(end)
        if first is not None and second is not None and first != second:
            edge = (min(first, second), max(first, second))
            dots[edge] = (lines[edge[0]] * lines[edge[1]]).sum(1)
    return dots


def _above(hits: np.ndarray, valid: np.ndarray, limit: float) -> bool:
    """Whether clearly more than a fraction of the valid rows are hits."""
    count = int(valid.sum())
    return count >= MIN_ROWS and hits[valid].mean() - Z * np.sqrt(limit * (1 - limit) / count) > limit


def _fraction(values: np.ndarray) -> str:
    return f"{(values[values != 0] < 0).mean():.0%} of {(values != 0).sum():,} rows"


def _exchanged_pair(pair: Pair, edges: set[Edge], dots: Dots, keypoints: Keypoints, file: str) -> Finding:
    most = min(edges, key=lambda edge: (dots[edge][dots[edge] != 0] < 0).mean())
    others = " and ".join(keypoints.pair_name(one) for edge in sorted(edges) for one in edge if one != pair)
    detail = (
        f"the line {keypoints.pair_name(pair)} should have the direction of {others}, but is opposite in "
        f"{_fraction(dots[most])}: exchange these two keypoints in the annotations, or in the metainfo's names"
    )
    return Finding("flip_pair_exchanged", WARNING, file, None, detail)


def _exchanged_between(edge: Edge, dots: np.ndarray, keypoints: Keypoints, file: str) -> Finding:
    first, second = (keypoints.pair_name(pair) for pair in edge)
    detail = (
        f"the lines {first} and {second} should have the same direction, but are opposite in {_fraction(dots)}: left "
        "and right are exchanged on one side of this link; correct the annotations or the metainfo's names"
    )
    return Finding("flip_pair_exchanged", WARNING, file, None, detail)


def _often_opposite(edge: Edge, clear: np.ndarray, valid: np.ndarray, keypoints: Keypoints, file: str) -> Finding:
    first, second = (keypoints.pair_name(pair) for pair in edge)
    detail = (
        f"the lines {first} and {second} should be clearly opposite in at most {OFTEN:.0%} of the rows, but are in "
        f"{clear[valid].mean():.0%} of {valid.sum():,}: look at images of left_right_exchanged, and exchange left and "
        "right where they are wrong"
    )
    return Finding("left_right_often_opposite", WARNING, file, None, detail)


def _contradicted_rows(
    dots: Dots, touching: dict[Pair, set[Edge]], opposite: set[Edge], keypoints: Keypoints, count: int
) -> dict[int, Pair]:
    """The pair of each row, by its place, whose line is opposite to those of two or more linked pairs."""
    lowest, rows = np.full(count, ROW_LIMIT), {}
    for pair in keypoints.pairs:
        if len(touching[pair]) < 2 or touching[pair] & opposite:
            continue
        values = np.stack([dots[edge] for edge in sorted(touching[pair])])  # (links, N)
        better = ((values < 0).sum(0) >= 2) & (values <= 0).all(0) & (values.sum(0) < lowest)
        lowest[better] = values.sum(0)[better]
        rows.update(dict.fromkeys(np.flatnonzero(better).tolist(), pair))
    return rows


def _row(row: int, pair: Pair, keypoints: Keypoints, file: str) -> Finding:
    detail = (
        f"{keypoints.pair_name(pair)} should have left and right on the same sides as the linked keypoints, but has "
        "them on the opposite sides: look at the image, and exchange the two keypoints if they are wrong"
    )
    return Finding("left_right_exchanged", WARNING, file, row, detail)


def check_faces(data: Instances, keypoints: Keypoints, file: str) -> list[Finding] | None:
    """Find visible faces whose left eye is on the side of the right eye.

    If nose and both eyes are visible, the camera sees the face from the front, and the turn from the line between the
    eyes to the nose has one direction, for every rotation of the head in the image. A mirrored face has the other one.

    Args:
        data: The instances.
        keypoints: The names; nose, left_eye and right_eye are needed.
        file: Name of the annotation file.

    Returns:
        A finding for each row, or one for the file if most faces are mirrored; ``None`` if the keypoints have no face.
    """
    if not set(FACE) <= set(keypoints.names):
        return None
    nose, left, right = (keypoints.names.index(name) for name in FACE)
    valid = (data.visibility[:, [nose, left, right]] == 2).all(1)
    eyes = data.points[:, left] - data.points[:, right]
    down = data.points[:, nose] - (data.points[:, left] + data.points[:, right]) / 2
    cross = eyes[:, 0] * down[:, 1] - eyes[:, 1] * down[:, 0]
    length = np.hypot(*eyes.T) * np.hypot(*down.T)
    wrong = valid & (cross < FACE_LIMIT * length)
    fix = "the right eye is where the left eye is expected"
    if _above(wrong, valid, 0.5):
        detail = (
            f"of {valid.sum():,} visible faces, left and right eye should be in the order of a face, but "
            f"{wrong.sum():,} are mirrored: exchange left and right in the annotations, or in the metainfo's names"
        )
        return [Finding("faces_mirrored", WARNING, file, None, detail)]
    detail = (
        f"nose and eyes should be in the order of a face, but {fix}: look at the image, and exchange left and right of "
        "the eyes, or of all keypoints"
    )
    return [Finding("face_mirrored", WARNING, file, int(row), detail) for row in data.rows[wrong]]

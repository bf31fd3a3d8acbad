"""Find keypoints in the wrong order, wrong flip pairs and misplaced keypoints by the distances between keypoints."""

from __future__ import annotations

import itertools

import numpy as np

from ..findings import WARNING, Finding
from .instances import Instances, Keypoints

MAX_ROWS = 5000  # rows of which the median distances are taken
MIN_ORDER = 20  # rows that each of two exchanged keypoints must have
MIN_FLIP = 100
# docs/check_data.md has the measurements behind the limits
ORDER_LIMIT = 0.98  # total length of the skeleton with two exchanged columns, relative to the given order
FLIP_LIMIT = 1.25  # ratio of the distances of a keypoint and of its partner, by the median over the other keypoints
LIMB_LIMIT = 5.0  # length of a limb relative to its median in the file and to the other limbs of the instance
MIN_LIMBS = 4


def median_distances(data: Instances) -> tuple[np.ndarray, np.ndarray]:
    """Median distances between keypoints, relative to the square root of the box area.

    Args:
        data: The instances.

    Returns:
        The medians (K, K), NaN without a row; and the numbers of rows (K, K).
    """
    step = max(1, -(-len(data.rows) // MAX_ROWS))
    data = data.where(np.arange(len(data.rows)) % step == 0)
    count = data.points.shape[1]
    medians, rows = np.full((count, count), np.nan), np.zeros((count, count), dtype=np.int64)
    for first, second in itertools.combinations_with_replacement(range(count), 2):
        both = data.labelled[:, first] & data.labelled[:, second]
        rows[first, second] = rows[second, first] = both.sum()
        if both.any():
            offsets = data.points[both, first] - data.points[both, second]
            medians[first, second] = medians[second, first] = np.median(np.hypot(*offsets.T) / data.scale[both])
    return medians, rows


def check_order(medians: np.ndarray, rows: np.ndarray, keypoints: Keypoints, file: str) -> list[Finding]:
    """Find two keypoints, or two flip pairs, after whose exchange the skeleton would be shorter.

    Args:
        medians: (K, K), see :func:`median_distances`.
        rows: (K, K).
        keypoints: The links.
        file: Name of the annotation file.

    Returns:
        The exchange that shortens the skeleton most, if it is clear. Keypoints beside each other, as nose and eye,
        cannot be told apart.
    """
    links = [link for link in keypoints.links if np.isfinite(medians[link])]
    enough = np.array([count >= MIN_ORDER for count in np.diagonal(rows)])
    total, best = sum(medians[link] for link in links), (ORDER_LIMIT, [])
    for exchange in _exchanges(keypoints):
        indices = [index for pair in exchange for index in pair]
        if not enough[indices].all():
            continue
        order = np.arange(len(keypoints.names))
        for first, second in exchange:
            order[[first, second]] = second, first
        length = sum(medians[order[start], order[end]] for start, end in links)
        if total > 0 and length < best[0] * total:  # False for NaN
            best = (length / total, exchange)
    if not best[1] or tuple(best[1][0]) in keypoints.pairs:
        return []  # check_sides reports a pair whose left and right are exchanged
    names = " and ".join(f"{keypoints.names[first]} with {keypoints.names[second]}" for first, second in best[1])
    detail = (
        "the order of the keypoints should be that of the metainfo, but the links of the skeleton would be "
        f"{1 - best[0]:.0%} shorter after exchanging {names}: compare the order in the annotations with the metainfo"
    )
    return [Finding("keypoint_order", WARNING, file, None, detail)]


def _exchanges(keypoints: Keypoints) -> list[list[tuple[int, int]]]:
    single = [[pair] for pair in itertools.combinations(range(len(keypoints.flip)), 2)]
    double = [[(a, c), (b, d)] for (a, b), (c, d) in itertools.combinations(keypoints.pairs, 2)]
    return [*double, *single]


def check_flip_distances(medians: np.ndarray, rows: np.ndarray, keypoints: Keypoints, file: str) -> list[Finding]:
    """Find flip pairs whose two keypoints have different distances to the other keypoints.

    Over many instances, left_hip to left_knee is as long as right_hip to right_knee, and so for every two keypoints and
    their partners.

    Args:
        medians: (K, K), see :func:`median_distances`.
        rows: (K, K).
        keypoints: The flip pairs.
        file: Name of the annotation file.

    Returns:
        A finding for each such pair.
    """
    flip, findings = keypoints.flip, []
    if (flip[flip] != np.arange(len(flip))).any():
        return []  # show_recipe reports a partner in one direction
    for index, partner in enumerate(flip):
        if partner <= index:
            continue
        others = [other for other in range(len(flip)) if other not in (index, partner)]
        enough = [o for o in others if min(rows[index, o], rows[partner, flip[o]]) >= MIN_FLIP]
        own, mirrored = medians[index, enough], medians[partner, flip[enough]]
        good = (own > 0) & (mirrored > 0)
        if good.sum() < 3:
            continue
        ratio = float(np.exp(np.median(np.abs(np.log(own[good] / mirrored[good])))))
        if ratio > FLIP_LIMIT:
            findings.append(_wrong_pair(index, int(partner), ratio, keypoints, file))
    return findings


def _wrong_pair(index: int, partner: int, ratio: float, keypoints: Keypoints, file: str) -> Finding:
    names = keypoints.names
    detail = (
        f"{names[index]} and {names[partner]} of a flip pair should be equally far from the other keypoints and their "
        f"partners, but the distances differ by a factor of {ratio:.2f}: correct their swap in the metainfo, or the "
        "order of the keypoints"
    )
    return Finding("flip_pair_distances", WARNING, file, None, detail)


def check_limbs(data: Instances, keypoints: Keypoints, file: str) -> list[Finding]:
    """Find links that are far too long for the size of the instance.

    Args:
        data: The instances.
        keypoints: The links.
        file: Name of the annotation file.

    Returns:
        A finding for each row with a link longer than `LIMB_LIMIT` times its usual length. The usual length is the
        median of the link in the file, times the median of the instance's links relative to theirs, at least 0.5. Short
        links are no fault, because a limb that points to the camera is short.
    """
    if not keypoints.links or not len(data.rows):
        return []
    starts, ends = np.array(keypoints.links).T
    offsets = data.points[:, starts] - data.points[:, ends]  # (N, L, 2)
    lengths = np.linalg.norm(offsets, axis=-1) / data.scale[:, None]
    valid = data.labelled[:, starts] & data.labelled[:, ends]
    usual = np.array(
        [np.median(column[ok]) if ok.sum() >= MIN_ORDER else np.inf for column, ok in zip(lengths.T, valid.T)]
    )
    relative = np.where(valid & (usual > 0), lengths / np.where(usual > 0, usual, 1), np.nan)
    usable = valid.sum(1) >= MIN_LIMBS
    relative, rows = relative[usable], data.rows[usable]
    if not len(rows):
        return []
    relative /= np.maximum(np.nanmedian(relative, 1, keepdims=True), 0.5)
    longest = np.nanargmax(np.nan_to_num(relative, nan=-1.0), 1)
    findings = []
    for place in np.flatnonzero(np.nanmax(np.nan_to_num(relative, nan=-1.0), 1) > LIMB_LIMIT):
        link = longest[place]
        names = f"{keypoints.names[starts[link]]} to {keypoints.names[ends[link]]}"
        detail = (
            f"{names} should have about its usual length, but is {relative[place, link]:.1f} times as long: look at "
            "the image, and correct the keypoints if one is misplaced"
        )
        findings.append(Finding("limb_too_long", WARNING, file, int(rows[place]), detail))
    return findings

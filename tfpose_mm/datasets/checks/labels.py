"""Check a metainfo, and compare it with the labels of a whole file: units, sides and order of keypoints and boxes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..annotations import Instances
from ..config_data import keypoint_names

# docs/check_data.md has the measurements behind the limits
MIN_ROWS = 20  # rows that a statistic of a keypoint or a pair needs
MIN_FLIP = 100  # rows that a distance of a flip pair needs
MAX_ROWS = 5000  # rows of which the median distances are taken
MARGIN = 0.1  # of the box, in which keypoints count as inside
FITS = 0.9  # fraction of the labelled keypoints that is in the boxes of a file without faults
BETTER = 0.1  # by which a correction must raise this fraction
ORDER_LIMIT = 0.98  # total length of the skeleton with two exchanged columns, relative to the given order
FLIP_LIMIT = 1.25  # ratio of the distances of a keypoint and of its partner, by the median over the other keypoints
FACE_LIMIT = -0.5  # sine of the angle between the line of the eyes and the nose; correct labels have a positive sine
FACE = ("nose", "left_eye", "right_eye")
MIRRORED = {"left": "right", "right": "left", "l": "r", "r": "l"}
MAX_SIGMA = 0.5  # those of MMPose's data sets are at most 0.15
SIGMA_RATIO = 1.5  # of a flip pair; up to 1.35 in MMPose's data sets, if their order is right
SMALL_SIGMA = 0.05  # those of faces and hands are smaller, and differ by up to a factor of 4

Faults = Iterator[tuple[str, str]]  # names of checks, and sentences


def check_labels(
    instances: Instances, skipped: Iterable[int], metainfo: dict[str, Any], categories: Sequence[dict[str, Any]]
) -> Faults:
    """Check the metainfo and the labels of a file; what needs names or links that the metainfo has not is left out.

    Args:
        instances: The instances without faults of their keys.
        skipped: Indices of the annotations that a training leaves out.
        metainfo: MMPose's parsed metainfo.
        categories: Those of the file.

    Yields:
        The faults: name of the check and sentence.
    """
    yield from check_metainfo(metainfo, categories)
    instances = instances[(instances.box[:, 2:] > 0).all(1)]
    if len(instances) >= MIN_ROWS:
        yield from _units(instances)
    instances = instances[~np.isin(instances.index, list(skipped))]
    if len(instances) and metainfo["skeleton_links"]:
        yield from _sides(instances, metainfo)
        yield from _distances(instances, metainfo)
    if set(FACE) <= set(keypoint_names(metainfo)):
        yield from _faces(instances, metainfo)


def check_metainfo(metainfo: dict[str, Any], categories: Sequence[dict[str, Any]]) -> Faults:
    """Check flip pairs and sigmas of a metainfo, and its names against those of the categories of a file."""
    names, flip = keypoint_names(metainfo), metainfo["flip_indices"]
    plain, sigmas = [_plain(name) for name in names], list(map(float, metainfo["sigmas"]))
    for category in categories:
        given = category.get("keypoints")
        given = list(map(_plain, given)) if isinstance(given, list) and len(given) == len(names) else plain
        wrong = [index for index, name in enumerate(given) if name != plain[index] and name in plain]
        if wrong:
            detail = "the keypoints of the file's category should be in the order of the metainfo, but keypoint"
            fix = f"{wrong[0]} is {given[wrong[0]]} in the file and {names[wrong[0]]} in the metainfo: use one order"
            yield "keypoint_names", f"{detail} {fix}"
    if sigmas and len(sigmas) != len(names):
        yield "sigmas", f"the metainfo should have {len(names)} sigmas, but has {len(sigmas)}: give one per keypoint"
        sigmas = []
    for index, partner in enumerate(flip):
        other = mirror_name(plain[index])
        if other != plain[index] and other in plain and plain[partner] != other:
            yield (
                "flip_pair_names",
                f"the metainfo should pair {names[index]} with {names[plain.index(other)]}, but pairs it with "
                f"{names[partner]}: correct the swap, or flip augmentation and the flip test mix up keypoints",
            )
        if flip[partner] != index:
            yield (
                "flip_pair_one_sided",
                f"the metainfo should swap {names[partner]} with {names[index]}, as {names[index]} with "
                f"{names[partner]}, but swaps it with {names[flip[partner]]}: correct the swaps, or a flip loses a "
                "keypoint",
            )
        low, high = sorted((sigmas[index], sigmas[partner])) if sigmas else (1, 1)
        if sigmas and not 0 < sigmas[index] <= MAX_SIGMA:
            detail = f"a sigma should be above 0 and at most {MAX_SIGMA}, but that of {names[index]} is"
            yield "sigmas", f"{detail} {sigmas[index]:g}: correct it"
        elif index < partner and high >= SMALL_SIGMA and high > SIGMA_RATIO * low:
            yield (
                "sigmas",
                f"the sigmas of a flip pair should be nearly equal, but {names[index]} has {sigmas[index]:g} and "
                f"{names[partner]} {sigmas[partner]:g}: put the sigmas into the order of the keypoints",
            )


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def mirror_name(name: str) -> str:
    """Exchange left and right in a lower-case name: ``left_hip``, ``hip_l``; other names stay."""
    return re.sub(r"(?<![a-z])(left|right|l|r)(?![a-z])", lambda match: MIRRORED[match[0]], name)


def _most(hits: np.ndarray, valid: np.ndarray) -> bool:
    """Whether clearly more than half of the valid rows are hits: by 3 standard errors."""
    count = int(valid.sum())
    return count >= MIN_ROWS and hits[valid].mean() > 0.5 + 3 * np.sqrt(0.25 / count)


def _units(rows: Instances) -> Faults:
    """Find the correction of units, origin or order of the numbers with which the keypoints are in the boxes."""
    rows = rows[rows.labelled.any(1)]
    points, flags = rows.points, (0, 1, 2)
    unknown = (rows.labelled & ~np.isin(rows.v, flags)).any(1)
    for column, order in ((0, "v, x, y"), (1, "x, v, y")):
        if _most(np.isin(points[..., column], flags).all(1), unknown):
            yield "keypoint_columns", f"each keypoint should be x, y, v, but the numbers fit as {order}: reorder them"
            return
    corner, size = rows.box[:, :2], rows.box[:, 2:]
    leaves = (corner + size > rows.image + 1).any(1).mean()
    are_corners = ((size > corner) & (size <= rows.image + 1)).all(1).mean() >= FITS
    if leaves > 0.05 and are_corners and _inside(rows, points, corner, size - corner) >= FITS:
        detail = f"bbox should be [x, y, width, height], but {leaves:.0%} of the boxes leave the image"
        yield "bbox_format", f"{detail}, and all fit as [x1, y1, x2, y2]: convert the boxes"
        return
    labelled = rows.labelled[..., None]
    centre = np.where(labelled, points, 0).sum(1) / labelled.sum(1)
    factor = np.median(np.linalg.norm(corner + size / 2, axis=1) / np.maximum(np.linalg.norm(centre, axis=1), 1e-6))
    pixels, origin, extent = "keypoints should be x, y, v in pixels of the image, but", corner[:, None], size[:, None]
    by_centre = "bbox should be [x, y, width, height] with the upper left corner, but the keypoints fit if x and y are"
    corrections = (
        (points, corner - size / 2, f"{by_centre} the centre: subtract half of width and height"),
        (
            points * rows.image[:, None],
            corner,
            f"{pixels} are 0 to 1: multiply x by the image's width and y by its height",
        ),
        (points * extent + origin, corner, f"{pixels} are 0 to 1 of the box: multiply by its size and add its corner"),
        (points + origin, corner, f"{pixels} fit the box as coordinates of a crop: add the corner of the box"),
        (points[..., ::-1], corner, f"{pixels} fit the box as y, x, v: exchange x and y"),
        (points * factor, corner, f"{pixels} fit after a multiplication by {factor:.3g}: use the scale of the boxes"),
    )
    fits = [_inside(rows, moved, start, size) for moved, start, _ in corrections]
    if max(fits) >= max(FITS, _inside(rows, points, corner, size) + BETTER):
        best = int(np.argmax(fits))
        yield "label_scale" if best else "bbox_format", corrections[best][2]


def _inside(rows: Instances, points: np.ndarray, corner: np.ndarray, size: np.ndarray) -> float:
    """Fraction of the labelled keypoints (N, K, 2) inside of boxes by their corners and sizes (N, 2)."""
    start, end = corner - MARGIN * size, corner + (1 + MARGIN) * size
    return float(((points >= start[:, None]) & (points <= end[:, None])).all(2)[rows.labelled].mean())


def _sides(rows: Instances, metainfo: dict[str, Any]) -> Faults:
    """Find flip pairs of which most lines from left to right are opposite to those of a linked pair."""
    names, flip = keypoint_names(metainfo), np.array(metainfo["flip_indices"])
    lines = rows.points - rows.points[:, flip]  # (N, K, 2)
    lines[~(rows.labelled & rows.labelled[:, flip])] = 0
    opposite: dict[frozenset[str], bool] = {}  # of each two linked pairs
    pairs = ["/".join(names[i] for i in sorted({index, int(other)})) for index, other in enumerate(flip)]
    for start, end in metainfo["skeleton_links"]:
        if start != flip[start] and end != flip[end] and pairs[start] != pairs[end]:
            dots = (lines[:, start] * lines[:, end]).sum(1)
            opposite[frozenset((pairs[start], pairs[end]))] = _most(dots < 0, dots != 0)
    wrong = [edge for edge, is_opposite in opposite.items() if is_opposite]
    exchanged: dict[str, set] = {}  # the fewest pairs that explain the wrong lines
    edges = {pair: {edge for edge in opposite if pair in edge} for pair in pairs}
    for pair in sorted(edges, key=lambda pair: -len(edges[pair])):
        if edges[pair] <= set(wrong) and edges[pair] - set().union(*exchanged.values()):
            exchanged[pair] = edges[pair]
    if wrong:
        yield (
            "flip_pair_exchanged",
            "the lines from left to right of linked keypoints should have the same direction, but are opposite in "
            f"most rows for {', '.join(' and '.join(sorted(edge)) for edge in wrong)}: exchange left and right of "
            f"{' and '.join(exchanged) or 'the keypoints on one side of this link'} in the annotations or the metainfo",
        )


def _distances(rows: Instances, metainfo: dict[str, Any]) -> Faults:
    """Find exchanged columns, which make the skeleton longer, and flip pairs with unequal distances to the others."""
    names, flip = keypoint_names(metainfo), np.array(metainfo["flip_indices"])
    medians, counts = _median_distances(rows)
    pairs = [(index, int(partner)) for index, partner in enumerate(flip) if index < partner]
    singles = [(pair,) for pair in itertools.combinations(np.flatnonzero(np.diagonal(counts) >= MIN_ROWS).tolist(), 2)]
    doubles = [((a, c), (b, d)) for (a, b), (c, d) in itertools.combinations(pairs, 2)]
    links = np.array([link for link in metainfo["skeleton_links"] if np.isfinite(medians[tuple(link)])], dtype=int)
    starts, ends = links.reshape(-1, 2).T
    total = medians[starts, ends].sum()
    shortest, best = ORDER_LIMIT * total, ()
    for exchange in (*doubles, *singles):
        order = np.arange(len(names))
        for pair in exchange:
            order[list(pair)] = pair[::-1]
        length = medians[order[starts], order[ends]].sum()
        if length < shortest:  # False for NaN
            shortest, best = length, exchange
    if best and best[0] not in pairs:  # _sides reports an exchanged pair
        exchanged = " and ".join(f"{names[first]} with {names[second]}" for first, second in best)
        yield (
            "keypoint_order",
            "the order of the keypoints should be that of the metainfo, but the skeleton would be "
            f"{1 - shortest / total:.0%} shorter after exchanging {exchanged}: correct the annotations or the metainfo",
        )
    for index, partner in pairs if (flip[flip] == np.arange(len(flip))).all() else ():
        others = np.array([other for other in range(len(names)) if other not in (index, partner)], dtype=int)
        own, mirrored = medians[index, others], medians[partner, flip[others]]
        good = np.minimum(counts[index, others], counts[partner, flip[others]]) >= MIN_FLIP
        good &= (own > 0) & (mirrored > 0)
        ratio = np.exp(np.median(np.abs(np.log(own[good] / mirrored[good])))) if good.sum() >= 3 else 1
        if ratio > FLIP_LIMIT:
            yield (
                "flip_pair_distances",
                f"{names[index]} and {names[partner]} of a flip pair should be equally far from the other keypoints "
                f"and their partners, but the distances differ by a factor of {ratio:.2f}: correct swap in the "
                "metainfo, or the order of the keypoints",
            )


def _median_distances(rows: Instances) -> tuple[np.ndarray, np.ndarray]:
    """Median distances between keypoints, relative to the square root of the box area, and numbers of rows: (K, K)."""
    rows = rows[:: max(1, -(-len(rows) // MAX_ROWS))]
    points, labelled = rows.points / np.sqrt(rows.box[:, 2:].prod(1))[:, None, None], rows.labelled
    counts = labelled.T.astype(np.int64) @ labelled
    medians = np.full(counts.shape, np.nan)
    for first, second in zip(*np.nonzero(np.triu(counts))):
        both = labelled[:, first] & labelled[:, second]
        distance = np.linalg.norm(points[both, first] - points[both, second], axis=1)
        medians[first, second] = medians[second, first] = np.median(distance)
    return medians, counts


def _faces(rows: Instances, metainfo: dict[str, Any]) -> Faults:
    """Find mirrored faces: the turn from the line between the eyes to the nose has the wrong direction in most rows."""
    ids = [metainfo["keypoint_name2id"][name] for name in FACE]
    nose, left, right = (rows.points[:, index] for index in ids)
    eyes, down = left - right, nose - (left + right) / 2
    cross = eyes[:, 0] * down[:, 1] - eyes[:, 1] * down[:, 0]
    wrong = cross < FACE_LIMIT * np.hypot(*eyes.T) * np.hypot(*down.T)
    if _most(wrong, (rows.v[:, ids] == 2).all(1)):
        yield (
            "faces_mirrored",
            "in visible faces, left and right eye should be in the order of a face, but are mirrored in most rows: "
            "exchange left and right in the annotations, or in the metainfo's names",
        )

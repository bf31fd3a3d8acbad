"""Check names, flip pairs, links and sigmas of a metainfo, also against the names in the annotation file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..config_data import keypoint_names
from ..findings import WARNING, Finding

MIRRORED = {"left": "right", "right": "left", "l": "r", "r": "l"}
MAX_SIGMA = 0.5  # those of MMPose's data sets are at most 0.15
SIGMA_RATIO = 1.5  # of a flip pair; up to 1.35 in MMPose's data sets, if their order is right
SMALL_SIGMA = 0.05  # those of faces and hands are smaller, and differ by up to a factor of 4


def check_metainfo(metainfo: dict[str, Any], categories: Any, file: str) -> list[Finding]:  # noqa: ANN401 - any json
    """Check the metainfo of an annotation file.

    Args:
        metainfo: MMPose's parsed metainfo.
        categories: The categories of the annotation file, in COCO's format.
        file: Its name.

    Returns:
        A finding for each contradiction.
    """
    checks = (
        ("keypoint_names", _names_of_the_file(metainfo, categories)),
        ("flip_pair_names", _flip_names(metainfo)),
        ("links_not_mirrored", _links(metainfo)),
        ("sigmas", _sigmas(metainfo)),
    )
    return [Finding(check, WARNING, file, None, detail) for check, details in checks for detail in details]


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def _names_of_the_file(metainfo: dict[str, Any], categories: Any) -> Iterator[str]:  # noqa: ANN401
    """Compare names only where the file has a name of the metainfo at another place; other names are synonyms."""
    names = keypoint_names(metainfo)
    expected = [_plain(name) for name in names]
    for category in categories if isinstance(categories, list) else ():
        given = category.get("keypoints") if isinstance(category, dict) else None
        if not isinstance(given, list) or len(given) != len(names):
            continue
        plain = [_plain(name) for name in given]
        wrong = [index for index, name in enumerate(plain) if name != expected[index] and name in expected]
        if wrong:
            yield (
                f"the keypoints of category '{category.get('name', category.get('id'))}' should be in the order of the "
                f"metainfo, but keypoint {wrong[0]} is {given[wrong[0]]} in the file and {names[wrong[0]]} in the "
                "metainfo: use one order"
            )


def mirror_name(name: str) -> str:
    """Exchange left and right in a name: ``left_hip``, ``hip_l``, ``L_Hip``; other names stay."""
    sides = re.compile(r"(?<![A-Za-z])(left|right|l|r)(?![A-Za-z])", re.IGNORECASE)
    return sides.sub(lambda match: MIRRORED[match.group().lower()], name).lower()


def _flip_names(metainfo: dict[str, Any]) -> Iterator[str]:
    names = keypoint_names(metainfo)
    lower = [name.lower() for name in names]
    for index, partner in enumerate(metainfo["flip_indices"]):
        other = mirror_name(names[index])
        if other != lower[index] and other in lower and lower[partner] != other:
            got = "it has no swap" if partner == index else f"its swap is {names[partner]}"
            yield (
                f"the metainfo should pair {names[index]} with {names[lower.index(other)]}, but {got}: correct the "
                "swap, or flip augmentation and the flip test mix up keypoints"
            )


def _links(metainfo: dict[str, Any]) -> Iterator[str]:
    names, flip, links = keypoint_names(metainfo), metainfo["flip_indices"], metainfo["skeleton_links"]
    known = {frozenset(link) for link in links}
    for link in links:
        mirrored = frozenset(flip[index] for index in link)
        if mirrored not in known:
            yield (
                f"the skeleton should be the same after a flip, but has a link {' to '.join(names[i] for i in link)} "
                f"and none {' to '.join(names[i] for i in sorted(mirrored))}: correct the flip pairs, or add the link"
            )
            return


def _sigmas(metainfo: dict[str, Any]) -> Iterator[str]:
    names, sigmas = keypoint_names(metainfo), [float(sigma) for sigma in metainfo["sigmas"]]
    wrong = [index for index, sigma in enumerate(sigmas) if not 0 < sigma <= MAX_SIGMA]
    if sigmas and len(sigmas) != len(names):
        yield f"the metainfo should have {len(names)} sigmas, but has {len(sigmas)}: give one for each keypoint"
    elif wrong:
        name, sigma = names[wrong[0]], sigmas[wrong[0]]
        yield f"a sigma should be above 0 and at most {MAX_SIGMA}, but that of {name} is {sigma:g}: correct it"
    else:
        pairs = [(i, j) for i, j in enumerate(metainfo["flip_indices"]) if i < j and sigmas]
        for first, second in pairs:
            low, high = sorted((sigmas[first], sigmas[second]))
            if high >= SMALL_SIGMA and high > SIGMA_RATIO * low:
                yield (
                    f"the sigmas of a flip pair should be nearly equal, but {names[first]} has {sigmas[first]:g} and "
                    f"{names[second]} {sigmas[second]:g}: put the sigmas into the order of the keypoints"
                )
                return

"""Check names, flip pairs, links and sigmas of a metainfo, also against the names in the annotation file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from ..findings import WARNING, Finding
from .instances import Keypoints

MIRRORED = {"left": "right", "right": "left", "l": "r", "r": "l"}
MAX_SIGMA = 0.5  # those of MMPose's data sets are at most 0.15
SIGMA_RATIO = 1.5  # of a flip pair; up to 1.35 in MMPose's data sets, if their order is right
SMALL_SIGMA = 0.05  # those of faces and hands are smaller, and differ by up to a factor of 4


def check_metainfo(keypoints: Keypoints, content: dict[str, Any], file: str) -> list[Finding]:
    """Check the metainfo of an annotation file.

    Args:
        keypoints: The metainfo.
        content: Content of the annotation file, in COCO's format.
        file: Its name.

    Returns:
        A finding for each contradiction.
    """
    checks = (
        ("keypoint_names", _names_of_the_file(keypoints, content)),
        ("flip_pair_names", _flip_names(keypoints)),
        ("links_not_mirrored", _links(keypoints)),
        ("sigmas", _sigmas(keypoints)),
    )
    return [Finding(check, WARNING, file, None, detail) for check, details in checks for detail in details]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _names_of_the_file(keypoints: Keypoints, content: dict[str, Any]) -> Iterator[str]:
    """Compare names only where the file has a name of the metainfo at another place; other names are synonyms."""
    expected = [_plain(name) for name in keypoints.names]
    categories = content.get("categories")
    categories = categories if isinstance(categories, list) else []
    for category in categories:
        names = category.get("keypoints") if isinstance(category, dict) else None
        if not isinstance(names, list) or len(names) != len(expected):
            continue
        for index, name in enumerate(names):
            plain = _plain(str(name))
            if plain != expected[index] and plain in expected:
                which = (
                    f"category '{category.get('name', category.get('id'))}'" if len(categories) > 1 else "'categories'"
                )
                yield (
                    f"the keypoints of {which} should be in the order of the metainfo, but keypoint {index} is "
                    f"{name} in the file and {keypoints.names[index]} in the metainfo: use one order"
                )
                break


def mirror_name(name: str) -> str:
    """Exchange left and right in a name: ``left_hip``, ``hip_l``, ``L_Hip``; other names stay."""
    return re.sub(
        r"(?<![A-Za-z])(left|right|l|r)(?![A-Za-z])",
        lambda match: MIRRORED[match.group().lower()],
        name,
        flags=re.IGNORECASE,
    ).lower()


def _flip_names(keypoints: Keypoints) -> Iterator[str]:
    lower = [name.lower() for name in keypoints.names]
    for index, name in enumerate(keypoints.names):
        other = mirror_name(name)
        partner = int(keypoints.flip[index])
        if other != lower[index] and other in lower and lower[partner] != other:
            got = "it has no swap" if partner == index else f"its swap is {keypoints.names[partner]}"
            yield (
                f"the metainfo should pair {name} with {keypoints.names[lower.index(other)]}, but {got}: correct the "
                "swap, or flip augmentation and the flip test mix up keypoints"
            )


def _links(keypoints: Keypoints) -> Iterator[str]:
    links = {frozenset(link) for link in keypoints.links}
    for start, end in keypoints.links:
        mirrored = frozenset((int(keypoints.flip[start]), int(keypoints.flip[end])))
        if mirrored not in links:
            names = [keypoints.names[index] for index in (start, end, *sorted(mirrored))]
            yield (
                f"the skeleton should be the same after a flip, but has a link {names[0]} to {names[1]} and none "
                f"{' to '.join(names[2:])}: correct the flip pairs, or add the link"
            )
            break


def _sigmas(keypoints: Keypoints) -> Iterator[str]:
    sigmas, names = keypoints.sigmas, keypoints.names
    if not sigmas:
        return
    if len(sigmas) != len(names):
        yield f"the metainfo should have {len(names)} sigmas, but has {len(sigmas)}: give one for each keypoint"
        return
    for name, sigma in zip(names, sigmas):
        if not math.isfinite(sigma) or not 0 < sigma <= MAX_SIGMA:
            yield f"a sigma should be above 0 and at most {MAX_SIGMA}, but that of {name} is {sigma:g}: correct it"
            return
    for first, second in keypoints.pairs:
        low, high = sorted((sigmas[first], sigmas[second]))
        if high >= SMALL_SIGMA and high > SIGMA_RATIO * low:
            yield (
                f"the sigmas of a flip pair should be nearly equal, but {names[first]} has {sigmas[first]:g} and "
                f"{names[second]} {sigmas[second]:g}: put the sigmas into the order of the keypoints"
            )
            return

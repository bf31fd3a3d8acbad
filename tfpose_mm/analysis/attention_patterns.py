"""Which keypoints and patterns of attention the figures show."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from .attention_study import InstanceRecord

FACE = re.compile(r"(?<![a-z])(nose|eye|ear)s?(?![a-z])")


def body_keypoints(names: Sequence[str]) -> list[int]:
    """Keypoints that are not in the face: the 12 of COCO that Figure 7 shows; all if there are no others."""
    body = [index for index, name in enumerate(names) if not FACE.search(name.lower())]
    return body or list(range(len(names)))


def symmetric_pairs(metainfo: dict) -> list[tuple[int, int]]:
    """Pairs of left and right keypoints."""
    return [(first, second) for first, second in enumerate(metainfo["flip_indices"]) if first < second]


def pattern_ratio(attention: np.ndarray, pairs: Sequence[tuple[int, int]]) -> float:
    """Mean attention between the keypoints of the pairs, over the mean between all different keypoints.

    Args:
        attention: (K, K).
        pairs: The pairs.

    Returns:
        The ratio; 1 means that the pairs attend to each other as much as any others.
    """
    between = np.mean([(attention[first, second] + attention[second, first]) / 2 for first, second in pairs])
    return float(between / attention[~np.eye(len(attention), dtype=bool)].mean())


def example_skeleton(records: Sequence[InstanceRecord], pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Keypoints (K, 2) on which attention is drawn: of the person whose keypoints are easiest to tell apart.

    Args:
        records: Persons.
        pairs: Pairs of left and right keypoints.

    Returns:
        Of the persons with the most annotated keypoints, the last coordinates of the one with the largest mean distance
        between the keypoints of the pairs.
    """

    def separation(record: InstanceRecord) -> tuple[int, float]:
        points = record.coordinates[-1]
        distances = [float(np.linalg.norm(points[first] - points[second])) for first, second in pairs]
        return int(record.labelled.sum()), float(np.mean(distances)) if distances else 0.0

    return max(records, key=separation).coordinates[-1]

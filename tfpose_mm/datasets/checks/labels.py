"""All checks of the labels that need many instances, or the metainfo."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import numpy as np

from ..findings import Finding
from .instances import Instances, Keypoints, read_instances
from .label_scale import check_label_scale
from .metainfo import check_metainfo
from .proportions import check_flip_distances, check_limbs, check_order, median_distances
from .sides import check_faces, check_sides


def check_labels(
    content: dict[str, Any], keypoints: Keypoints, file: str, skipped_rows: Set[int] = frozenset()
) -> tuple[list[Finding], list[str]]:
    """Compare the labels of a file with its metainfo and with each other.

    Args:
        content: Content of the file, in COCO's format. It is not changed.
        keypoints: The metainfo.
        file: Name of the file in the findings.
        skipped_rows: Rows that a training leaves out.

    Returns:
        The faults; and what is not checked, and why.
    """
    findings = check_metainfo(keypoints, content, file)
    data = read_instances(content, len(keypoints.names))
    findings += check_label_scale(data, file)
    data = data.where(~np.isin(data.rows, list(skipped_rows)))
    if not len(data.rows):
        return findings, ["left and right, order and lengths of the keypoints, because no row can be used"]
    not_checked = []
    if keypoints.links:
        findings += _check_geometry(data, keypoints, file)
    else:
        not_checked.append("left and right, order and lengths, because the metainfo has no skeleton_info")
    faces = check_faces(data, keypoints, file)
    if faces is None:
        not_checked.append(
            "instances whose labels are all mirrored, because this needs the keypoints nose, left_eye and right_eye"
        )
    return findings + (faces or []), not_checked


def _check_geometry(data: Instances, keypoints: Keypoints, file: str) -> list[Finding]:
    medians, counts = median_distances(data)
    return [
        *check_sides(data, keypoints, file),
        *check_order(medians, counts, keypoints, file),
        *check_flip_distances(medians, counts, keypoints, file),
        *check_limbs(data, keypoints, file),
    ]

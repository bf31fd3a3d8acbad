"""Check annotations in MPII's json format: alone, and with the sizes of the images, which the file does not have."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping
from functools import partial
from typing import Callable

from ..annotation_files import read_json
from ..annotation_structure import LIMIT, AnnotationReport
from ..mpii_checks import check_joints_in_images, coco_rows, inspect_mpii, mpii_in_tests
from .data_sources import DataSource, mpii_entries
from .fault_table import FileReport
from .image_checks import ImageEntry
from .instances import Keypoints
from .labels import check_labels


def check_mpii(
    source: DataSource, report: FileReport
) -> tuple[list[ImageEntry], Callable[[Mapping[str, tuple[int, int]]], None] | None]:
    """Check structure and numbers of a file.

    Args:
        source: The data set.
        report: Gets the faults.

    Returns:
        The images of the file; and a function that checks the labels with the sizes of the images, as
        :func:`check_mpii_labels`, or ``None`` if the file is refused.

    Raises:
        UserError: If the file cannot be read.
    """
    content = read_json(source.file)
    report.num_annotations = len(content) if isinstance(content, list) else 0
    entries = mpii_entries(content, source) if isinstance(content, list) else []
    if source.keypoints is None:
        report.not_checked.append("annotations, because the metainfo cannot be read: 'tfpose recipe' says why")
        return entries, None
    checked = inspect_mpii(content, source.file, len(source.keypoints.names), source.for_training, source.half_bodies)
    report.findings += [mpii_in_tests(finding) if source.for_test else finding for finding in checked.findings]
    check = partial(check_mpii_labels, content, checked, source, source.keypoints, report)
    return entries, None if checked.is_refused else check


def check_mpii_labels(
    content: list,
    checked: AnnotationReport,
    source: DataSource,
    keypoints: Keypoints,
    report: FileReport,
    sizes: Mapping[str, tuple[int, int]],
) -> None:
    """Compare the labels with the metainfo, with each other and with the images.

    Args:
        content: The content of the file.
        checked: What `inspect_mpii` has found in it.
        source: The data set.
        keypoints: Its keypoints.
        report: Gets the faults.
        sizes: (width, height) in pixels of the images that were read, by their paths; empty if none was.
    """
    good = [index for index in range(len(content)) if index not in checked.skipped_rows]
    known = {content[index]["image"]: sizes.get(osp.join(source.folder, content[index]["image"])) for index in good}
    known = {name: size for name, size in known.items() if size}
    if known:
        report.findings += check_joints_in_images(content, checked, len(keypoints.names), known)
    else:
        report.not_checked.append("joints outside the image, because MPII's file has no image sizes")
    images = [dict(id=index, width=LIMIT, height=LIMIT) for index in good]
    for image in images:
        image["width"], image["height"] = known.get(content[image["id"]]["image"], (LIMIT, LIMIT))
    rows = dict(images=images, annotations=coco_rows(content, good))
    found, not_checked = check_labels(rows, keypoints, source.file, checked.skipped_rows)
    # the square around a person may leave the image, and has no corners in the file
    report.findings += [finding for finding in found if finding.check != "bbox_format"]
    report.not_checked += not_checked

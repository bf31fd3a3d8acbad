"""Check the data sets of a config before a training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.progress import track

from ...config_files import read_config
from ...errors import UserError, need_at_least
from ..checked_dataset import inspect_data_set
from ..findings import REFUSED, WARNING, Finding
from .data_report import DataReport, FileReport, need_report_path
from .data_sources import DataSource, coco_entries, find_sources, other_entries
from .images import ImageEntry, check_images, inspect_image
from .labels import check_labels
from .metainfo import check_metainfo


def check_data(
    config: str | Path | Config,
    *,
    json: str | Path | None = None,
    images: bool = True,
    workers: int | None = None,
    strict: bool = False,
    progress: bool = True,
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> DataReport:
    """Find the faults of the data sets of a config before a training.

    The annotations, images, flip pairs and keypoint order of the three dataloaders are checked, a data set of several
    of them once. For each kind of fault, a line has what a training does (refused: it stops; skipped: it leaves the
    row out; warning: it uses the row), the number of faults and the first rows or images, counted from 0.
    docs/check_data.md lists the checks. The exit status is 0 if nothing is refused or skipped, 1 if something is, and
    2 if the config or no file can be read.

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        json: File for all findings. Nothing else is written.
        images: Whether to read the images.
        workers: Threads that read images. Defaults to the number of processors.
        strict: Whether the exit status is 1 for warnings, too.
        progress: Whether to show a progress bar.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The report.

    Raises:
        UserError: If no annotation file can be read, if the config has no data set, or if the file for the findings is
            another file.
    """
    need_at_least(1, workers=workers)
    if json is not None:
        need_report_path(json)
    sources = find_sources(read_config(config, cfg_options))
    reports = [FileReport(source.data.ann_file, source.loaders) for source in sources]
    entries, errors = [], []
    for source, report in zip(sources, reports):
        try:
            entries.append(_check_annotations(source, report))
        except UserError as error:
            errors.append(error)
            entries.append([])
            detail = str(error).rstrip(".")
            report.findings.append(Finding("file_unreadable", REFUSED, report.file, None, detail))
        report.num_images = len(entries[-1])
        if source.for_training and source.for_test:
            detail = (
                "a test should have its own data, but this file is used for training and for testing: set another "
                "ann_file of val_dataloader and test_dataloader"
            )
            report.findings.append(Finding("test_on_training_data", WARNING, report.file, None, detail))
    if len(errors) == len(sources):
        raise errors[0]
    if images:
        _check_images(sources, reports, entries, workers or os.cpu_count() or 1, progress)
    else:
        for report in reports:
            report.not_checked.append("images, because of --no-images")
    data = DataReport(reports, strict)
    if json is not None:
        Path(json).write_text(data.to_json() + "\n", encoding="utf-8")
        data.json = Path(json)
    return data


def _check_annotations(source: DataSource, report: FileReport) -> list[ImageEntry]:
    """Check an annotation file and its boxes; return the images of the data set."""
    data = source.data
    if not source.is_coco:
        reason = f"because {type(data).__name__} does not read all keypoints from COCO's format"
        report.not_checked.append(f"annotations, {reason}; the images are checked")
        return other_entries(data)
    content, _, checked, instances = inspect_data_set(data, source.for_test)
    report.num_annotations = len(content["annotations"]) if isinstance(content.get("annotations"), list) else 0
    report.findings += [*checked.findings, *check_metainfo(data.metainfo, content.get("categories"), report.file)]
    if instances is None:
        report.not_checked.append("labels, images and boxes, because the annotation file is refused")
        return []
    found, not_checked = check_labels(instances, checked.skipped_rows, data.metainfo, report.file)
    report.findings += found
    report.not_checked += not_checked
    used = checked.sizes if source.boxes else set(instances.image_id.tolist())
    return coco_entries(content["images"], checked.sizes, used, source.folder)


def _check_images(
    sources: list[DataSource], reports: list[FileReport], entries: list[list[ImageEntry]], workers: int, progress: bool
) -> None:
    """Read and check the images of all data sets; those of a training come first."""
    trained: dict[bytes, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        for source, report, listed in zip(sources, reports, entries):
            read = pool.map(partial(inspect_image, color_type=source.decoder[0], backend=source.decoder[1]), listed)
            bar = dict(console=Console(stderr=True), transient=True, disable=not progress)
            inspected = list(track(read, f"images of {Path(report.file).name}", len(listed), **bar))
            of_other_files = {} if source.for_training else trained
            report.findings += check_images(
                listed, inspected, report.file, source.folder, not source.for_test, of_other_files
            )
            if source.for_training:
                trained.update((digest, entry.path) for entry, (digest, _) in zip(listed, inspected) if digest)

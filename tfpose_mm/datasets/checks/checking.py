"""Check the data sets of a config before a training."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, NamedTuple

import cv2
from mmengine.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...config_files import read_config
from ...errors import UserError, need_at_least
from ..annotation_checks import in_tests, inspect_annotations
from ..annotation_files import read_annotations, read_json
from ..annotation_structure import AnnotationReport
from ..box_checks import check_boxes
from ..findings import REFUSED, WARNING, Finding
from .data_sources import DataSource, coco_entries, find_sources, other_entries
from .duplicates import find_repeated, find_shared
from .fault_table import DataReport, FileReport, need_report_path
from .image_checks import ImageEntry, check_images
from .images import ImageLoader, ImageRecord, inspect_image
from .labels import check_labels
from .mpii_files import check_mpii


class _Part(NamedTuple):
    source: DataSource
    report: FileReport
    entries: list[ImageEntry]
    check_labels: Callable[[Mapping[str, tuple[int, int]]], None] | None  # what needs the sizes of the images


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
    of them once. For each kind of fault, a table has what a training does (refused: it stops; skipped: it leaves the
    row out; warning: it uses the row), the number of faults and the first places, counted from 0. docs/check_data.md
    lists the checks. The exit status is 0 if nothing is refused or skipped, 1 if something is, and 2 if the config or
    no file can be read.

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
    cfg = read_config(config, cfg_options)
    parts, errors = [], []
    for source in find_sources(cfg):
        report = FileReport(source.file, list(source.loaders))
        try:
            entries, later = CHECKS[source.format](source, report)
        except UserError as error:
            errors.append(error)
            report.findings.append(Finding("file_unreadable", REFUSED, source.file, None, str(error).rstrip(".")))
            entries, later = [], None
        report.num_images = len(entries)
        parts.append(_Part(source, report, entries, later))
    if len(errors) == len(parts):
        raise errors[0]
    _check_same_file(parts)
    if images:
        _check_all_images(parts, workers or os.cpu_count() or 1, progress)
    else:
        for part in parts:
            part.report.not_checked.append("images, because of --no-images")
            if part.check_labels:
                part.check_labels({})
    report = DataReport([part.report for part in parts], strict)
    if json is not None:
        Path(json).write_text(report.to_json() + "\n", encoding="utf-8")
        report.json = Path(json)
    return report


def _check_coco(source: DataSource, report: FileReport) -> tuple[list[ImageEntry], None]:
    content = read_annotations(source.file)
    rows = content.get("annotations")
    report.num_annotations = len(rows) if isinstance(rows, list) else 0
    entries = coco_entries(content, source)
    listed = len(content["images"]) if isinstance(content.get("images"), list) else 0
    if listed > len(entries):
        report.notes.append(
            f"{listed - len(entries):,} of {listed:,} listed images have no annotation and are not read"
        )
    if source.keypoints is None:
        report.not_checked.append("annotations, because the metainfo cannot be read: 'tfpose recipe' says why")
        return entries, None
    checked = inspect_annotations(
        content, source.file, len(source.keypoints.names), not source.boxes, source.half_bodies
    )
    for finding in checked.findings:
        report.findings.append(in_tests(finding, source.uses_area) if source.for_test else finding)
    if source.boxes:
        _check_boxes(source.boxes, checked, report)
    found, not_checked = check_labels(content, source.keypoints, source.file, checked.skipped_rows)
    report.findings += found
    report.not_checked += not_checked
    return entries, None


def _check_boxes(file: str, checked: AnnotationReport, report: FileReport) -> None:
    if checked.is_refused:
        report.not_checked.append(f"{file}, because the annotation file is refused")
        return
    try:
        boxes = read_json(file)
    except UserError as error:
        report.findings.append(Finding("file_unreadable", REFUSED, file, None, str(error).rstrip(".")))
        return
    report.findings += check_boxes(boxes, file, checked.image_ids)


def _check_other(source: DataSource, report: FileReport) -> tuple[list[ImageEntry], None]:
    report.not_checked.append(
        f"annotations, because {source.settings['type']} reads neither COCO's nor MPII's format; the images are checked"
    )
    return other_entries(source), None


CHECKS = {"coco": _check_coco, "mpii": check_mpii, "other": _check_other}


def _check_same_file(parts: list[_Part]) -> None:
    for part in parts:
        if part.source.for_training and part.source.for_test:
            detail = (
                "a test should have its own data, but this file is used for training and for testing: set another "
                "ann_file of val_dataloader and test_dataloader"
            )
            part.report.findings.append(Finding("test_on_training_data", WARNING, part.report.file, None, detail))


def _check_all_images(parts: list[_Part], workers: int, progress: bool) -> None:
    keys = {(entry.path, part.source.image_loader) for part in parts for entry in part.entries}
    known = _read_images(sorted(keys), workers, progress)
    records = [[known[entry.path, part.source.image_loader] for entry in part.entries] for part in parts]
    for part, found in zip(parts, records):
        report = part.report
        report.findings += check_images(part.entries, found, report.file, not part.source.for_test, part.source.folder)
        report.findings += find_repeated(part.entries, found, report.file)
        if part.check_labels:
            part.check_labels({entry.path: record.size for entry, record in zip(part.entries, found) if record.size})
        grey = sum(record.mode in ("L", "1", "LA") for record in found)
        if grey:
            report.notes.append(f"{grey:,} images are grey; LoadImage gives them three equal channels")
    for part, found in zip(parts, records):
        if part.source.for_test and not part.source.for_training:
            for train, train_found in zip(parts, records):
                if train.source.for_training:
                    part.report.findings += find_shared(
                        part.entries, found, part.report.file, train.entries, train_found
                    )


def _read_images(
    keys: list[tuple[str, ImageLoader]], workers: int, progress: bool
) -> dict[tuple[str, ImageLoader], ImageRecord]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=not progress)
    known = {}
    with _opencv_settings(), bar, ThreadPoolExecutor(workers) as pool:
        task = bar.add_task("reading images", total=len(keys))
        for key, record in zip(keys, pool.map(lambda key: inspect_image(*key), keys)):
            known[key] = record
            bar.advance(task)
    return known


@contextmanager
def _opencv_settings() -> Generator[None, None, None]:
    """One thread per image, and no messages: the report has the faults."""
    log: Any = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # the place depends on the version
    threads, level = cv2.getNumThreads(), log.getLogLevel()
    cv2.setNumThreads(1)
    log.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        log.setLogLevel(level)

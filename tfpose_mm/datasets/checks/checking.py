"""Check the data sets of a config before a training."""

from __future__ import annotations

import json as json_module
import os.path as osp
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS
from rich.console import Console
from rich.progress import track

from ...config_files import read_config
from ...errors import UserError
from ..checked_dataset import CheckedCocoDataset, inspect_data_set
from ..config_data import LOADERS, list_data_sets
from ..findings import REFUSED, SKIPPED, WARNING, Finding, describe_groups
from .images import ImageEntry, check_images, inspect_image
from .labels import check_labels

TOOL = "tfpose check-data"
TOTALS = {
    REFUSED: "refused (a training or test stops)",
    SKIPPED: "skipped (a training leaves the row out)",
    WARNING: "warnings (the row is used)",
}


@dataclass
class FileReport:
    """What is found in a data set.

    Attributes:
        file: The annotation file.
        loaders: Names of the dataloaders that use it.
        num_annotations: Number of rows; 0 if the annotations are not checked.
        num_images: Number of images that a training or test reads.
        findings: All faults.
        not_checked: What is not checked, and why.
    """

    file: str
    loaders: list[str]
    num_annotations: int = 0
    num_images: int = 0
    findings: list[Finding] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """A line for each kind of fault, with its first places, counted from 0."""
        counts = f"{self.num_annotations:,} annotations, {self.num_images:,} images"
        faults = [f"- {severity}: {text}." for severity, text in describe_groups(self.findings)] or ["no fault found"]
        not_checked = [f"not checked: {text}" for text in self.not_checked]
        return "\n".join([f"{self.file} ({', '.join(self.loaders)}): {counts}", *faults, *not_checked])


@dataclass
class DataReport:
    """What is found in the data sets of a config: a report for each, and the file with all findings, if any."""

    files: list[FileReport]
    json: Path | None = None

    def __str__(self) -> str:
        """The reports of the data sets, the numbers of faults, and the file with all of them."""
        found = [finding.severity for finding in self.findings]
        total = ", ".join(f"{found.count(severity):,} {text}" for severity, text in TOTALS.items())
        images = sum(file.num_images for file in self.files)
        end = f"{len(self.files)} data set{'s' * (len(self.files) != 1)}, {images:,} images: {total}"
        written = [f"All findings are in {self.json}."] if self.json else []
        return "\n".join([*(f"{file}\n" for file in self.files), end, *written])

    @property
    def findings(self) -> list[Finding]:
        """All faults of all data sets."""
        return [finding for file in self.files for finding in file.findings]

    @property
    def exit_status(self) -> int:
        """0 if a training uses all rows, else 1."""
        return int(any(finding.severity != WARNING for finding in self.findings))


def check_data(
    config: str | Path | Config,
    *,
    json: str | Path | None = None,
    images: bool = True,
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> DataReport:
    """Find the faults of the data sets of a config before a training.

    The annotations, images, flip pairs and keypoint order of the three dataloaders are checked, a data set of several
    of them once. For each kind of fault, a line has what a training does (refused: it stops; skipped: it leaves the
    row out; warning: it uses the row), the number of faults and the first rows or images, counted from 0.
    docs/check_data.md lists the checks. The exit status is 0 if nothing is refused or skipped, 1 if something is, and
    2 if the config cannot be read.

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        json: File for all findings, new or an earlier report. Nothing else is written.
        images: Whether to read the images.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The report.

    Raises:
        UserError: If the config has no data set that can be built, or if the file for the findings is another file.
    """
    path = None if json is None else Path(json)
    is_report = path and path.is_file() and path.read_bytes().startswith(f'{{\n "tool": "{TOOL}"'.encode())
    if path and not (path.parent.is_dir() and (is_report or not path.exists())):
        fix = "choose another name"
        raise UserError(
            f"The report must be a new file in a folder that exists, or replace a report, but is {path}: {fix}."
        )
    data_sets = _build_data_sets(read_config(config, cfg_options))
    report = DataReport([], path)
    trained: dict[bytes, str] = {}  # images by the hash of their file
    for data, loaders in data_sets:
        file = FileReport(data.ann_file, loaders)
        report.files.append(file)
        try:
            entries = _check_annotations(data, file)
        except UserError as error:
            file.findings.append(Finding("file_unreadable", REFUSED, file.file, None, str(error).rstrip(".")))
            continue
        file.num_images = len(entries)
        if images:
            _check_images(data, file, entries, trained)
        else:
            file.not_checked.append("images, because of --no-images")
    if path:
        files = [dict(vars(file), findings=[finding._asdict() for finding in file.findings]) for file in report.files]
        path.write_text(json_module.dumps(dict(tool=TOOL, files=files), indent=1) + "\n", encoding="utf-8")
    return report


def _build_data_sets(cfg: Config) -> list[tuple[BaseDataset, list[str]]]:
    """Build the data sets of a config, which read nothing yet, each once; and the names of their dataloaders."""
    init_default_scope(cfg.get("default_scope", "mmpose"))
    found: dict[tuple, tuple[BaseDataset, list[str]]] = {}
    for loader in LOADERS:
        for settings, steps in list_data_sets(cfg, loader):
            try:
                data = DATASETS.build(dict(settings, pipeline=steps, lazy_init=True))
            except Exception as error:
                cause = f"{type(error).__name__}: {error}".split("\n")[0]
                raise UserError(
                    f"MMPose must be able to build the data set of {settings.get('ann_file')}, but {settings['type']} "
                    f"fails with '{cause:.200}': correct it, or set custom_imports."
                ) from error
            key = (data.ann_file, data.data_prefix.get("img"), getattr(data, "bbox_file", None), type(data))
            loaders = found.setdefault((*key, *data.metainfo.get("keypoint_name2id", ())), (data, []))[1]
            loaders.extend([loader] if loader not in loaders else [])
    if not found:
        raise UserError(f"The config must have a data set in {', '.join(LOADERS)}, but has none: add one.")
    return list(found.values())


def _check_annotations(data: BaseDataset, report: FileReport) -> list[ImageEntry]:
    """Check an annotation file and its boxes; return the images that a training or test reads."""
    kind, base = type(data), BaseCocoStyleDataset
    own = (base._load_annotations, CheckedCocoDataset._load_annotations)
    if getattr(kind, "parse_data_info", None) is not base.parse_data_info or kind._load_annotations not in own:
        report.not_checked.append(f"all, because {kind.__name__} does not read all keypoints from COCO's format")
        return []
    for_test = report.loaders != [LOADERS[0]]
    content, found = inspect_data_set(data, for_test)
    report.findings += found.findings
    if for_test and LOADERS[0] in report.loaders:
        fix = "set another ann_file of val_dataloader and test_dataloader"
        detail = f"a test should have its own data, but this file is used for training and for testing: {fix}"
        report.findings.append(Finding("test_on_training_data", WARNING, report.file, None, detail))
    if found.instances is None:
        report.not_checked.append("labels, images and boxes, because the annotation file is refused")
        return []
    if data.bbox_file:
        try:
            data._load_detection_results()
        except Exception as error:
            report.findings.append(Finding("boxes_unreadable", REFUSED, data.bbox_file, None, str(error).rstrip(".")))
    rows = content.get("annotations", [])
    report.num_annotations = len(rows)
    faults, not_checked = check_labels(found.instances, found.skipped, data.metainfo, content["categories"])
    report.findings += [Finding(check, WARNING, report.file, None, detail) for check, detail in faults]
    report.not_checked += not_checked
    used = found.images if data.bbox_file else {rows[index]["image_id"] for index in found.instances.index}
    folder, usable = data.data_prefix.get("img", ""), {id(found.images[number]) for number in used}
    return [
        ImageEntry(row, osp.join(folder, image["file_name"]), (image["width"], image["height"]))
        for row, image in enumerate(content["images"])
        if id(image) in usable
    ]


def _check_images(data: BaseDataset, report: FileReport, entries: list[ImageEntry], trained: dict[bytes, str]) -> None:
    """Read and check the images of a data set; those of a training, which comes first, go into ``trained``."""
    loaders = [step for step in data.pipeline.transforms if isinstance(step, LoadImageFromFile)]
    color_type, backend = (loaders[0].color_type, loaders[0].imdecode_backend) if loaders else ("color", "cv2")
    with ThreadPoolExecutor() as pool:
        read = pool.map(partial(inspect_image, color_type=color_type, backend=backend), entries)
        name, console = f"images of {Path(report.file).name}", Console(stderr=True)
        inspected = list(track(read, name, len(entries), console=console, transient=True))
    for_training, for_test = LOADERS[0] in report.loaders, report.loaders != [LOADERS[0]]
    report.findings += check_images(entries, inspected, report.file, for_test, {} if for_training else trained)
    if for_training:
        trained.update((digest, entry.path) for entry, (digest, _) in zip(entries, inspected) if digest)

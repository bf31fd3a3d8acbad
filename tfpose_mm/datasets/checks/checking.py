"""Check the data sets of a config before a training."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from ...config_files import read_config
from ...errors import UserError
from ..checked_dataset import CheckedCocoDataset, inspect_data_set
from ..config_data import LOADERS, list_data_sets
from ..findings import REFUSED, SEVERITIES, WARNING, Finding, describe_groups
from .images import check_images
from .labels import check_labels


class DataReport(NamedTuple):
    """What is found in the data sets of a config.

    Attributes:
        findings: All faults.
        text: For each data set what is checked, and a line for each kind of fault with its first places.
    """

    findings: list[Finding]
    text: str

    def __str__(self) -> str:
        """The text."""
        return self.text

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

    It checks annotations, images, flip pairs and keypoint order in the data of the three dataloaders. A data set that
    several dataloaders use is checked once. For each kind of fault it prints a line: what a training does (refused: it
    stops; skipped: it leaves the row out; warning: it uses the row), the number of faults, and the first rows or
    images, counted from 0. docs/check_data.md lists the checks. The exit status is 0 if nothing is refused or skipped,
    1 if something is, and 2 if the config cannot be read.

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        json: New file for a list of all findings. Nothing else is written.
        images: Whether to read the images.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The report.

    Raises:
        UserError: If the config has no data set that can be built, or if the file for the findings exists.
    """
    path = None if json is None else Path(json)
    if path and (path.exists() or not path.parent.is_dir()):
        raise UserError(f"The findings need a new file in a folder that exists, but got {path}: choose another name.")
    findings: list[Finding] = []
    lines, read = [], 0
    trained: dict[bytes, str] = {}  # images by the hash of their file
    data_sets = _build_data_sets(read_config(config, cfg_options))
    for data, loaders in data_sets:
        for_training, for_test = LOADERS[0] in loaders, loaders != [LOADERS[0]]
        rows, used, found = _check_annotations(data, for_training, for_test)
        if images:
            faults, digests = check_images(data, used, for_test, {} if for_training else trained)
            found += faults
            trained.update(digests if for_training else {})
        counts = f"{rows:,} annotations, {len(used):,} images{' (not read)' * (not images)}"
        faults = [f"- {severity}: {text}." for severity, text in describe_groups(found)] or ["no fault found"]
        lines += [f"{data.ann_file} ({', '.join(loaders)}): {counts}", *faults, ""]
        findings += found
        read += len(used)
    severities = [finding.severity for finding in findings]
    total = ", ".join(f"{severities.count(severity):,} {text}" for severity, text in SEVERITIES.items())
    lines.append(f"{len(data_sets)} data set{'s' * (len(data_sets) != 1)}, {read:,} images: {total}")
    if path:
        content = json_module.dumps([finding._asdict() for finding in findings], indent=1)
        path.write_text(content + "\n", encoding="utf-8")
        lines.append(f"All findings are in {path}.")
    return DataReport(findings, "\n".join(lines))


def _build_data_sets(cfg: Config) -> list[tuple[BaseDataset, list[str]]]:
    """Build the data sets of a config, which read nothing yet, each once; and the names of their dataloaders."""
    init_default_scope(cfg.get("default_scope", "mmpose"))
    found: dict[tuple, tuple[BaseDataset, list[str]]] = {}
    for loader in LOADERS:
        for settings in list_data_sets(cfg, loader):
            try:
                data = DATASETS.build(dict(settings, lazy_init=True))
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


def _check_annotations(
    data: BaseDataset, for_training: bool, for_test: bool
) -> tuple[int, dict[int, dict], list[Finding]]:
    """Check an annotation file and its boxes.

    Returns:
        The number of annotations; by index the entries of ``images`` that a training or test reads; and the faults.
    """
    kind, base = type(data), BaseCocoStyleDataset
    own = (base._load_annotations, CheckedCocoDataset._load_annotations)
    if getattr(kind, "parse_data_info", None) is not base.parse_data_info or kind._load_annotations not in own:
        detail = f"{kind.__name__} does not read all keypoints from COCO's format, so nothing is checked: convert it"
        return 0, {}, [Finding("not_checked", WARNING, data.ann_file, None, detail)]
    try:
        content, found = inspect_data_set(data, for_test)
    except UserError as error:
        return 0, {}, [Finding("file_unreadable", REFUSED, data.ann_file, None, str(error).rstrip("."))]
    if for_test and for_training:
        fix = "set another ann_file of val_dataloader and test_dataloader"
        detail = f"a test should have its own data, but this file is used for training and for testing: {fix}"
        found.add("test_on_training_data", WARNING, None, detail)
    if found.instances is None:
        return 0, {}, found.findings
    if data.bbox_file:
        try:
            data._load_detection_results()
        except Exception as error:
            detail = str(error).rstrip(".")
            found.findings.append(Finding("boxes_unreadable", REFUSED, data.bbox_file, None, detail))
    for check, detail in check_labels(found.instances, found.skipped, data.metainfo, content["categories"]):
        found.add(check, WARNING, None, detail)
    rows = content.get("annotations", [])
    used = found.images if data.bbox_file else {rows[index]["image_id"] for index in found.instances.index}
    usable = {id(found.images[number]) for number in used}
    images = {row: image for row, image in enumerate(content["images"]) if id(image) in usable}
    return len(rows), images, found.findings

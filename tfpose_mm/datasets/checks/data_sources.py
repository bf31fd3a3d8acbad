"""The data sets of a config: annotation files, images, keypoints."""

from __future__ import annotations

import os.path as osp
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmengine.utils import is_abs
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.datasets.datasets.body import MpiiDataset
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS, METRICS, TRANSFORMS

from ...errors import UserError
from .. import CheckedMpiiDataset
from ..annotation_numbers import BodyPart
from ..checked_samples import find_half_bodies
from ..config_data import LOADERS, list_data_sets, list_evaluators, read_metainfo
from .image_checks import ImageEntry
from .images import ImageLoader, load_settings
from .instances import Keypoints, read_keypoints


@dataclass
class DataSource:
    """A data set of one or more dataloaders.

    Attributes:
        file: The annotation file.
        folder: The folder of the images.
        settings: Its config.
        image_loader: How the pipeline decodes images.
        keypoints: Its keypoints; ``None`` if the metainfo cannot be read.
        format: ``"coco"`` if MMPose reads all K keypoints from COCO's ``keypoints``, ``"mpii"`` for MPII's json, else
            ``"other"``.
        boxes: The file of detected boxes, if it has one.
        uses_area: Whether a metric of the config divides by the areas of the annotations.
        half_bodies: Parts of the body around which the pipeline crops.
        loaders: Names of the dataloaders that use it.
    """

    file: str
    folder: str
    settings: dict[str, Any]
    image_loader: ImageLoader
    keypoints: Keypoints | None
    format: str
    boxes: str | None
    uses_area: bool
    half_bodies: list[BodyPart]
    loaders: list[str] = field(default_factory=list)

    @property
    def for_training(self) -> bool:
        """Whether the training uses it."""
        return LOADERS[0] in self.loaders

    @property
    def for_test(self) -> bool:
        """Whether a validation or a test uses it."""
        return any(name != LOADERS[0] for name in self.loaders)


def find_sources(cfg: Config) -> list[DataSource]:
    """List the data sets of a config, each once.

    Args:
        cfg: The config.

    Returns:
        The data sets, in the order of the dataloaders.

    Raises:
        UserError: If there is none, or a type of data set does not exist.
    """
    sources: dict[tuple, DataSource] = {}
    for loader in LOADERS:
        for one, pipeline in list_data_sets(cfg, loader):
            source = _read_source(one, pipeline, _uses_area(cfg))
            key = (
                source.file,
                source.folder,
                source.boxes,
                source.format,
                tuple(getattr(source.keypoints, "names", ())),
            )
            kept = sources.setdefault(key, source)
            if loader not in kept.loaders:
                kept.loaders.append(loader)
    if not sources:
        raise UserError(f"The config must have a data set in {', '.join(LOADERS)}, but has none: add one.")
    return list(sources.values())


def _uses_area(cfg: Config) -> bool:
    kinds = [
        (METRICS.get(item["type"]) if isinstance(item["type"], str) else item["type"], item)
        for item in list_evaluators(cfg)
    ]
    return any(kind and issubclass(kind, CocoMetric) and item.get("use_area", True) for kind, item in kinds)


def _read_source(settings: dict, pipeline: list[dict], uses_area: bool) -> DataSource:
    kind = DATASETS.get(settings["type"]) if isinstance(settings["type"], str) else settings["type"]
    if kind is None:
        raise UserError(f"The data set type {settings['type']} is not registered: correct it or set custom_imports.")
    root = settings.get("data_root") or ""
    prefix = (settings.get("data_prefix") or {}).get("img", "")
    keypoints, metainfo = _read_metainfo(settings.get("metainfo") or getattr(kind, "METAINFO", None))
    steps = [step for step in pipeline if _type_name(step) == "RandomHalfBody"]
    return DataSource(
        _join(root, settings.get("ann_file", "")),
        _join(root, prefix) if prefix else root,
        dict(settings),
        load_settings(pipeline),
        keypoints,
        _read_format(kind),
        settings.get("bbox_file"),
        uses_area,
        find_half_bodies(map(TRANSFORMS.build, steps), metainfo) if keypoints else [],
    )


def _type_name(step: dict) -> str:
    kind = step.get("type")
    return kind.split(".")[-1] if isinstance(kind, str) else getattr(kind, "__name__", "")


def _join(root: str, path: str) -> str:
    """Join as MMEngine's ``BaseDataset`` does."""
    return osp.join(root, path) if path and root and not is_abs(path) else path


def _read_format(kind: type) -> str:
    if issubclass(kind, MpiiDataset):
        known = (MpiiDataset._load_annotations, CheckedMpiiDataset._load_annotations)
        return "mpii" if kind._load_annotations in known else "other"
    methods = ("parse_data_info", "_load_annotations")
    base = BaseCocoStyleDataset
    is_coco = issubclass(kind, base) and all(getattr(kind, name) is getattr(base, name) for name in methods)
    return "coco" if is_coco else "other"


def _read_metainfo(metainfo: dict | None) -> tuple[Keypoints | None, dict[str, Any]]:
    if not metainfo:
        return None, {}
    try:
        parsed = read_metainfo(metainfo)
        return read_keypoints(parsed), parsed
    except (KeyError, AssertionError, FileNotFoundError):
        return None, {}  # show_recipe reports it


def coco_entries(content: dict[str, Any], source: DataSource) -> list[ImageEntry]:
    """List the images of a file in COCO's format that a training or test reads.

    Args:
        content: Content of the file.
        source: The data set.

    Returns:
        The images with annotations; all images if the boxes come from another file.
    """
    rows = content.get("annotations")
    numbers = [row.get("image_id") for row in (rows if isinstance(rows, list) else ()) if isinstance(row, dict)]
    used = {number for number in numbers if isinstance(number, int)}
    entries = []
    images = content.get("images")
    for index, image in enumerate(images if isinstance(images, list) else ()):
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
            continue
        number = image.get("id")
        if source.boxes or (isinstance(number, int) and number in used):
            width, height = image.get("width"), image.get("height")
            size = (width, height) if isinstance(width, (int, float)) and isinstance(height, (int, float)) else None
            entries.append(ImageEntry(index, osp.join(source.folder, image["file_name"]), size))
    return entries


def mpii_entries(content: list, source: DataSource) -> list[ImageEntry]:
    """List the images of a file in MPII's json format.

    Args:
        content: Content of the file.
        source: The data set.

    Returns:
        Each image once, with the first row that uses it.
    """
    first: dict[str, int] = {}
    for index, row in enumerate(content):
        if isinstance(row, dict) and isinstance(row.get("image"), str):
            first.setdefault(row["image"], index)
    return [ImageEntry(index, osp.join(source.folder, name), None, listed=False) for name, index in first.items()]


def other_entries(source: DataSource) -> list[ImageEntry]:
    """List the images of a data set in another format, as MMPose reads it.

    Args:
        source: The data set.

    Returns:
        Each image once.

    Raises:
        UserError: If MMPose cannot read the data set.
    """
    try:
        data = DATASETS.build(dict(source.settings, pipeline=[]))
        paths = [data.get_data_info(index)["img_path"] for index in range(len(data))]
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".split("\n")[0]
        raise UserError(
            f"{source.file}: MMPose's {source.settings['type']} must be able to read the data set, but fails with "
            f"'{cause:.200}': correct ann_file and data_root in the config."
        ) from error
    return [ImageEntry(None, path, None) for path in dict.fromkeys(paths)]

"""The data sets of a config: annotation files, images, keypoints."""

from __future__ import annotations

import os.path as osp
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmengine.utils import is_abs
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS, METRICS, TRANSFORMS

from ...errors import UserError
from .. import CheckedAnnotations
from ..annotation_checks import Check, half_body_checks
from ..annotation_structure import is_id
from ..config_data import LOADERS, list_data_sets, list_evaluators, read_metainfo
from .images import ImageEntry


@dataclass
class DataSource:
    """A data set of one or more dataloaders.

    Attributes:
        file: The annotation file.
        folder: The folder of the images.
        settings: Its config.
        decoder: ``color_type`` and ``imdecode_backend`` of the pipeline's LoadImage.
        metainfo: MMPose's parsed metainfo; ``None`` if it cannot be read.
        is_coco: Whether MMPose reads all K keypoints from COCO's ``keypoints``.
        uses_area: Whether a metric of the config divides by the areas of the annotations.
        checks: Checks of annotations that the pipeline needs.
        loaders: Names of the dataloaders that use it.
    """

    file: str
    folder: str
    settings: dict[str, Any]
    decoder: tuple[str, str]
    metainfo: dict[str, Any] | None
    is_coco: bool
    uses_area: bool
    checks: list[Check]
    loaders: list[str] = field(default_factory=list)

    @property
    def boxes(self) -> str | None:
        """The file of detected boxes, if it has one."""
        return self.settings.get("bbox_file")

    @property
    def for_training(self) -> bool:
        """Whether the training uses it."""
        return LOADERS[0] in self.loaders

    @property
    def for_test(self) -> bool:
        """Whether a validation or a test uses it."""
        return any(name != LOADERS[0] for name in self.loaders)


def find_sources(cfg: Config) -> list[DataSource]:
    """List the data sets of a config, each once, in the order of the dataloaders.

    Raises:
        UserError: If there is none, or a type of data set does not exist.
    """
    sources: dict[tuple, DataSource] = {}
    for loader in LOADERS:
        for settings, pipeline in list_data_sets(cfg, loader):
            source = _read_source(settings, pipeline, _uses_area(cfg))
            names = tuple((source.metainfo or {}).get("keypoint_name2id", ()))
            kept = sources.setdefault((source.file, source.folder, source.boxes, source.is_coco, names), source)
            if loader not in kept.loaders:
                kept.loaders.append(loader)
    if not sources:
        raise UserError(f"The config must have a data set in {', '.join(LOADERS)}, but has none: add one.")
    return list(sources.values())


def _uses_area(cfg: Config) -> bool:
    for item in list_evaluators(cfg):
        kind = METRICS.get(item["type"]) if isinstance(item["type"], str) else item["type"]
        if kind and issubclass(kind, CocoMetric) and item.get("use_area", True):
            return True
    return False


def _read_source(settings: dict, pipeline: list[dict], uses_area: bool) -> DataSource:
    kind = DATASETS.get(settings["type"]) if isinstance(settings["type"], str) else settings["type"]
    if kind is None:
        raise UserError(f"The data set type {settings['type']} is not registered: correct it or set custom_imports.")
    root = settings.get("data_root") or ""
    prefix = (settings.get("data_prefix") or {}).get("img", "")
    try:
        metainfo = read_metainfo(settings.get("metainfo") or kind.METAINFO)
    except (AttributeError, KeyError, AssertionError, FileNotFoundError):
        metainfo = None  # 'tfpose recipe' reports it
    loads = next((step for step in pipeline if _type_name(step) == "LoadImage"), {})
    half_bodies = [TRANSFORMS.build(step) for step in pipeline if _type_name(step) == "RandomHalfBody"]
    return DataSource(
        _join(root, settings.get("ann_file", "")),
        _join(root, prefix) if prefix else root,
        dict(settings),
        (loads.get("color_type", "color"), loads.get("imdecode_backend", "cv2")),
        metainfo,
        _is_coco(kind),
        uses_area,
        half_body_checks(half_bodies, metainfo) if metainfo else [],
    )


def _type_name(step: dict) -> str:
    kind = step.get("type")
    return kind.split(".")[-1] if isinstance(kind, str) else getattr(kind, "__name__", "")


def _join(root: str, path: str) -> str:
    """Join as MMEngine's ``BaseDataset`` does."""
    return osp.join(root, path) if path and root and not is_abs(path) else path


def _is_coco(kind: type) -> bool:
    return (
        issubclass(kind, BaseCocoStyleDataset)
        and kind.parse_data_info is BaseCocoStyleDataset.parse_data_info
        and kind._load_annotations in (BaseCocoStyleDataset._load_annotations, CheckedAnnotations._load_annotations)
    )


def coco_entries(images: list[dict], sizes: Mapping[int, Any], used: Container[int], folder: str) -> list[ImageEntry]:
    """List the images of a file in COCO's format that a training or test reads.

    Args:
        images: The images of the file.
        sizes: (width, height) in pixels of each usable image by its id.
        used: The ids of the images that are read.
        folder: The folder of the images.
    """
    return [
        ImageEntry(index, osp.join(folder, image["file_name"]), sizes[image["id"]])
        for index, image in enumerate(images)
        if isinstance(image, dict) and is_id(image.get("id")) and image["id"] in sizes and image["id"] in used
    ]


def other_entries(source: DataSource) -> list[ImageEntry]:
    """List the images of a data set in another format, as MMPose reads it, each once.

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

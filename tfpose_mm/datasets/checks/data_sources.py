"""The data sets of a config, and their images."""

from __future__ import annotations

import os.path as osp
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from ...errors import UserError
from .. import CheckedAnnotations
from ..annotation_structure import is_id
from ..config_data import LOADERS, list_data_sets
from .images import ImageEntry


class DataSource(NamedTuple):
    """A data set of one or more dataloaders.

    Attributes:
        data: The data set, which has read nothing.
        loaders: Names of the dataloaders that use it.
    """

    data: BaseDataset
    loaders: list[str]

    @property
    def boxes(self) -> str | None:
        """The file of detected boxes, if it has one."""
        return getattr(self.data, "bbox_file", None)

    @property
    def folder(self) -> str:
        """The folder of the images."""
        return self.data.data_prefix.get("img", "")

    @property
    def decoder(self) -> tuple[str, str]:
        """How the pipeline decodes images: ``color_type`` and ``imdecode_backend`` of LoadImage."""
        loaders = [step for step in self.data.pipeline.transforms if isinstance(step, LoadImageFromFile)]
        return (loaders[0].color_type, loaders[0].imdecode_backend) if loaders else ("color", "cv2")

    @property
    def for_training(self) -> bool:
        """Whether the training uses it."""
        return LOADERS[0] in self.loaders

    @property
    def for_test(self) -> bool:
        """Whether a validation or a test uses it."""
        return any(name != LOADERS[0] for name in self.loaders)

    @property
    def is_coco(self) -> bool:
        """Whether MMPose reads all K keypoints from COCO's ``keypoints``."""
        kind, base = type(self.data), BaseCocoStyleDataset
        return (
            issubclass(kind, base)
            and kind.parse_data_info is base.parse_data_info
            and kind._load_annotations in (base._load_annotations, CheckedAnnotations._load_annotations)
        )


def find_sources(cfg: Config) -> list[DataSource]:
    """List the data sets of a config, each once, in the order of the dataloaders.

    Raises:
        UserError: If there is none, or one cannot be built.
    """
    init_default_scope(cfg.get("default_scope", "mmpose"))
    sources: dict[tuple, DataSource] = {}
    for loader in LOADERS:
        for settings, steps in list_data_sets(cfg, loader):
            source = DataSource(_build(dict(settings, pipeline=steps, lazy_init=True)), [])
            names = tuple(source.data.metainfo.get("keypoint_name2id", ()))
            key = (source.data.ann_file, source.folder, source.boxes, source.is_coco, names)
            kept = sources.setdefault(key, source)
            if loader not in kept.loaders:
                kept.loaders.append(loader)
    if not sources:
        raise UserError(f"The config must have a data set in {', '.join(LOADERS)}, but has none: add one.")
    return list(sources.values())


def _build(settings: dict[str, Any]) -> BaseDataset:
    try:
        return DATASETS.build(settings)
    except UserError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".split("\n")[0]
        raise UserError(
            f"The data set of {settings.get('ann_file')} must be one that MMPose can build, but {settings['type']} "
            f"fails with '{cause:.200}': correct it, set custom_imports, or see 'tfpose recipe CONFIG'."
        ) from error


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


def other_entries(data: BaseDataset) -> list[ImageEntry]:
    """List the images of a data set in another format, as MMPose reads it, each once.

    Raises:
        UserError: If MMPose cannot read the data set.
    """
    try:
        data.full_init()
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".split("\n")[0]
        raise UserError(
            f"{data.ann_file}: MMPose's {type(data).__name__} must be able to read the data set, but fails with "
            f"'{cause:.200}': correct ann_file and data_root in the config."
        ) from error
    paths = [data.get_data_info(index)["img_path"] for index in range(len(data))]
    return [ImageEntry(None, path, None) for path in dict.fromkeys(paths)]

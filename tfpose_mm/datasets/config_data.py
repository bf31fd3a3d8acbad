"""The data that a config describes: loaders, metainfo, keypoints, annotations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

from ..errors import UserError, need_file

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
LARGEST = 32766  # longest side of an image that OpenCV's warpAffine takes, in pixels


def list_data_sets(cfg: Config, loader: str) -> list[dict]:
    """List the data sets of a dataloader, also those in ``ConcatDataset``, ``RepeatDataset`` or ``CombinedDataset``.

    The pipeline of each has its own steps, then those of the data sets that wrap it.
    """
    return list(_unwrap((cfg.get(loader) or {}).get("dataset"), []))


def _unwrap(settings: dict | None, outer: list[dict]) -> Iterator[dict]:
    if not settings:
        return
    steps = [*(settings.get("pipeline") or ()), *outer]
    inner = settings.get("datasets") or ([settings["dataset"]] if "dataset" in settings else [])
    for one in inner:
        yield from _unwrap(one, steps)
    if not inner:
        yield dict(settings, pipeline=steps)


def list_evaluators(cfg: Config, names: Sequence[str] = ("val_evaluator", "test_evaluator")) -> list[dict]:
    """The configs of all metrics of validation and test, or of one of them."""
    evaluators = [cfg.get(name) or [] for name in names]
    return [item for part in evaluators for item in (part if isinstance(part, (list, tuple)) else [part])]


def input_size(cfg: Config) -> tuple[int, int]:
    """Width and height of the model's input in pixels.

    Raises:
        UserError: If the test pipeline has no ``TopdownAffine``.
    """
    for data in list_data_sets(cfg, "test_dataloader"):
        for step in data["pipeline"]:
            if step["type"].rpartition(".")[2] == "TopdownAffine":
                return tuple(step["input_size"])
    raise UserError("The test pipeline must have a TopdownAffine, which gives the input size, but has none: add it.")


def predicted_keypoints(cfg: Config) -> int:
    """The number K of keypoints that the head of a config predicts; 0 if the config does not have it."""
    return cfg.model.head.get("num_joints", cfg.model.head.get("out_channels", 0))


def read_metainfo(described: dict) -> dict:
    """Parse the metainfo of a config, or that of a class of data sets, as MMPose does, with its errors."""
    with warnings.catch_warnings():  # MMPose warns that it reads the file of its installation
        warnings.simplefilter("ignore", UserWarning)
        return parse_pose_metainfo(described)


def keypoint_names(metainfo: dict) -> list[str]:
    """The K names of the keypoints, in order; ``metainfo`` is MMPose's parsed one, as of a data set."""
    return [metainfo["keypoint_id2name"][index] for index in range(metainfo["num_keypoints"])]


def labelled_keypoints(annotated: InstanceData) -> np.ndarray:
    """Whether each keypoint of an instance is annotated: (K,) bool; its keypoints_visible is (1, K) or (1, K, 2)."""
    visible = np.asarray(annotated.keypoints_visible)[0]
    return visible.reshape(len(visible), -1)[:, 0] > 0


def build_annotated_data(cfg: Config) -> BaseDataset:
    """Build the test data of a config, one data set, with annotated boxes; detected boxes have no annotations."""
    init_default_scope(cfg.get("default_scope", "mmpose"))
    data_cfg = cfg.test_dataloader.dataset.copy()
    data_cfg["bbox_file"] = None
    return DATASETS.build(data_cfg)


def find_mixed_annotations(cfg: Config, name: str) -> str | None:
    """A sentence if ``CocoMetric`` would read the annotations of one of several data sets only.

    Args:
        cfg: The config.
        name: ``"val"`` or ``"test"``.
    """
    number, evaluator = len(list_data_sets(cfg, f"{name}_dataloader")), cfg.get(f"{name}_evaluator")
    of_several = isinstance(evaluator, dict) and evaluator.get("type") == "MultiDatasetEvaluator"
    metrics = list_evaluators(cfg, (f"{name}_evaluator",))
    if number < 2 or of_several or "CocoMetric" not in [metric.get("type") for metric in metrics]:
        return None
    return (
        f"{name}_dataloader has {number} data sets, but CocoMetric reads the annotations of one and counts its other "
        "instances as missed: test them one by one, or use MultiDatasetEvaluator."
    )


def annotation_file(cfg: Config) -> Path:
    """The annotation file that a config tests on.

    Raises:
        UserError: If it does not exist, or if the test data are not one data set with an annotation file, as those of
            MMPose's ``CombinedDataset``.
    """
    data = cfg.test_dataloader.dataset
    if "ann_file" not in data:
        raise UserError(
            f"The test data must be one data set with an ann_file, but the config has a {data.type}: set "
            "test_dataloader.dataset to one of its data sets."
        )
    need_annotation_files(cfg, "test_dataloader")
    return Path(data.get("data_root") or "", data.ann_file)


def need_annotation_files(cfg: Config, loader: str) -> None:
    """Raise a UserError if an annotation file of a dataloader does not exist; remote ones are not looked for."""
    for data in list_data_sets(cfg, loader):
        path = Path(data.get("data_root") or "", data.get("ann_file") or "")
        if data.get("ann_file") and "://" not in f"{data.get('data_root')}{data['ann_file']}":
            need_file("annotation file", path, "point the config's data_root to the data")


def need_annotations(cfg: Config) -> None:
    """Check that the test data of a config have annotations.

    Raises:
        UserError: If the config writes a submission, or as :func:`annotation_file`.
    """
    if any(evaluator["type"] == "CocoSubmission" for evaluator in list_evaluators(cfg, ("test_evaluator",))):
        raise UserError(
            "The config tests on data without annotations and writes a submission: run mim test mmpose CONFIG "
            "--checkpoint CHECKPOINT instead."
        )
    annotation_file(cfg)

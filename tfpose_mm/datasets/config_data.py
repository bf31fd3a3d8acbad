"""The data that a config describes: loaders, metainfo, keypoints, annotations."""

from __future__ import annotations

import warnings

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def list_evaluators(cfg: Config) -> list[dict]:
    """The configs of all metrics of validation and test."""
    evaluators = [cfg.get(name) or [] for name in ("val_evaluator", "test_evaluator")]
    return [item for part in evaluators for item in (part if isinstance(part, list) else [part])]


def read_metainfo(described: dict) -> dict:
    """Parse the metainfo of a data set.

    Args:
        described: The metainfo of a config, or that of a class of data sets.

    Returns:
        MMPose's parsed metainfo.

    Raises:
        AssertionError, FileNotFoundError, KeyError: As MMPose raises them, if the metainfo is not complete.
    """
    with warnings.catch_warnings():  # MMPose warns that it reads the file of its installation
        warnings.simplefilter("ignore", UserWarning)
        return parse_pose_metainfo(described)


def keypoint_names(metainfo: dict) -> list[str]:
    """Names of the keypoints, in order.

    Args:
        metainfo: MMPose's metainfo, as of a data set.

    Returns:
        The K names.
    """
    return [metainfo["keypoint_id2name"][index] for index in range(metainfo["num_keypoints"])]


def labelled_keypoints(annotated: InstanceData) -> np.ndarray:
    """Whether each keypoint of a person is annotated.

    Args:
        annotated: The person's ``gt_instances``; keypoints_visible is (1, K) or (1, K, 2).

    Returns:
        (K,) bool.
    """
    visible = np.asarray(annotated.keypoints_visible)[0]
    return visible.reshape(len(visible), -1)[:, 0] > 0


def build_annotated_data(cfg: Config) -> BaseDataset:
    """Build the test data of a config with annotated boxes. Detected boxes have no annotations.

    Args:
        cfg: Config whose test data are one annotated data set.

    Returns:
        The data set.
    """
    init_default_scope(cfg.get("default_scope", "mmpose"))
    data_cfg = cfg.test_dataloader.dataset.copy()
    data_cfg["bbox_file"] = None
    return DATASETS.build(data_cfg)

"""Check that the parts of a config agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS, METRICS

from ..datasets.config_data import (
    LOADERS,
    find_mixed_annotations,
    keypoint_names,
    list_data_sets,
    list_evaluators,
    read_metainfo,
)
from ..models.heads import TFPoseHead

TEST_CFG = ("flip_test", "shift_coords", "output_heatmaps", "keypoint_scores")  # keys that TFPoseHead reads
OTHERS = ("flip_mode", "shift_heatmap")  # keys that may remain from the config of another head
FIX = "use tfpose_mm.config.change_codec, which changes every copy."


def find_problems(cfg: Config, model: BaseModel) -> list[str]:
    """Find inconsistencies in a config that MMPose does not report.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        A sentence for each problem: the expected value, the value in the config, and a fix.
    """
    checks = (
        _custom_keys(cfg, model),
        find_worker_problems(cfg),
        filter(None, (find_mixed_annotations(cfg, name) for name in ("val", "test"))),
        _codec(cfg),
        _test_cfg(cfg, model),
        *(_keypoints(cfg, loader, data) for loader in LOADERS for data in _with_metainfo(cfg, loader)),
        _heatmaps(cfg, model),
    )
    return list(dict.fromkeys(itertools.chain(*checks)))  # data sets of one dataloader can have the same problem


def _custom_keys(cfg: Config, model: BaseModel) -> Iterator[str]:
    names = [name for name, _ in model.named_parameters()]
    for pattern in (cfg.optim_wrapper.get("paramwise_cfg") or {}).get("custom_keys", {}):
        if not any(pattern in name for name in names):
            yield f"custom_keys has '{pattern}', which no parameter's name contains: correct or delete it."


def find_worker_problems(cfg: Config) -> Iterator[str]:
    """Yield a sentence for each dataloader whose workers torch refuses."""
    for loader in LOADERS:
        settings = cfg.get(loader) or {}
        if settings.get("persistent_workers") and not settings.get("num_workers"):
            yield f"{loader} has persistent_workers=True, but num_workers=0: set persistent_workers=False."


def _plain(value: Any) -> Any:  # noqa: ANN401 - a config holds anything
    """Turn tuples into lists, as in ``--cfg-options`` and .json configs; drop the scope that MMEngine adds to bases."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key != "_scope_"}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _codec(cfg: Config) -> Iterator[str]:
    """The copies of the codec and of its input size, and what ``TFPoseLabel`` needs."""
    codec = cfg.get("codec")
    if not isinstance(codec, dict):  # none, or one for each stage
        return
    is_ours, size = codec.get("type") == "TFPoseLabel", tuple(codec["input_size"])
    decoder = cfg.model.head.get("decoder", codec)  # a head that wraps another one has none
    if _plain(decoder) != _plain(codec):
        yield f"model.head.decoder is {decoder}, but codec is {codec}: {FIX}"
    for loader in LOADERS:
        for step in (step for data in list_data_sets(cfg, loader) for step in data.steps):
            if step["type"] == "GenerateTarget" and _plain(step.get("encoder")) != _plain(codec):
                yield f"{loader}'s targets are made by {step.get('encoder')}, but codec is {codec}: {FIX}"
            if step["type"] == "TopdownAffine" and _plain(step.get("input_size")) != _plain(size):
                yield f"{loader} has input_size {step.get('input_size')}, but the codec has {size}: {FIX}"
            if is_ours and step["type"] == "TopdownAffine" and not step.get("use_udp"):
                yield f"{loader} has TopdownAffine without use_udp, which TFPoseLabel needs: set use_udp=True."
    test_cfg = cfg.model.get("test_cfg") or {}
    if is_ours and test_cfg.get("flip_test") and test_cfg.get("shift_coords"):
        yield "test_cfg has shift_coords=True, but a mirrored label of TFPoseLabel is 1 - x: set it to False."


def _test_cfg(cfg: Config, model: BaseModel) -> Iterator[str]:
    """Heads silently ignore keys that they do not read."""
    if not isinstance(model.head, TFPoseHead):
        return
    test_cfg = cfg.model.get("test_cfg") or {}
    for key in sorted(set(test_cfg) - {*TEST_CFG, *OTHERS}):
        yield f"test_cfg has '{key}', which TFPoseHead does not read: choose among {', '.join(TEST_CFG)}."
    kinds = ("auto", *model.head.score_kinds)
    if (test_cfg.get("keypoint_scores") or "one") not in kinds:
        yield f"test_cfg.keypoint_scores is {test_cfg['keypoint_scores']!r}: choose {' or '.join(map(repr, kinds))}."


def _with_metainfo(cfg: Config, loader: str) -> list[dict]:
    """The data sets whose keypoints the model sees: a wrapper with a metainfo converts to its own."""
    whole = (cfg.get(loader) or {}).get("dataset") or {}
    return [whole] if whole.get("metainfo") else [data.settings for data in list_data_sets(cfg, loader)]


def _keypoints(cfg: Config, loader: str, data: dict) -> Iterator[str]:
    """The keypoints of a data set: their flip pairs, their sigmas, and their number K."""
    described = data.get("metainfo") or getattr(DATASETS.get(data["type"]), "METAINFO", None)
    if not described:
        return  # a wrapper of several data sets, or a data set whose arguments choose the keypoints
    try:
        metainfo = read_metainfo(described)
    except (AssertionError, FileNotFoundError, KeyError) as error:
        yield (
            f"{loader}'s metainfo cannot be read ({error!r}): it needs dataset_name, keypoint_info, skeleton_info, "
            "joint_weights and sigmas, and swaps and links must name its own keypoints."
        )
        return
    names, flip, number = keypoint_names(metainfo), metainfo["flip_indices"], metainfo["num_keypoints"]
    for name, partner in zip(names, flip):
        if names[flip[partner]] != name:
            yield (
                f"{loader}'s metainfo swaps {name} with {names[partner]}, but not the reverse: a flip would lose a "
                "keypoint; set the swap of both, or of neither."
            )
    has_oks = any(issubclass(METRICS.get(item["type"]) or object, CocoMetric) for item in list_evaluators(cfg))
    if has_oks and len(metainfo["sigmas"]) != number:
        sigmas = len(metainfo["sigmas"])
        yield f"{loader}'s metainfo has {sigmas} sigmas for {number} keypoints: give one for each keypoint."
    codec, head, test_cfg = cfg.get("codec"), cfg.model.head, cfg.model.get("test_cfg") or {}
    predicted = head.get("num_joints", head.get("out_channels"))
    if isinstance(codec, dict) and codec.get("heatmap_type") == "combined":
        predicted = head.out_channels // 3  # a heat map and two offsets of each keypoint
    if loader != LOADERS[0] and test_cfg.get("output_keypoint_indices") is not None:
        predicted = len(test_cfg["output_keypoint_indices"])
    if predicted not in (None, number):
        yield f"The head predicts {predicted} keypoints, but {loader} has {number}: set the head's num_joints."


def _heatmaps(cfg: Config, model: BaseModel) -> Iterator[str]:
    if getattr(model.head, "aux_branch", None) is None or "heatmap_size" not in cfg.get("codec", {}):
        return
    width, height = cfg.codec.input_size
    was_training = model.training
    with torch.no_grad():
        head = model.eval().head
        maps = head.project(model.extract_feat(torch.zeros(1, 3, height, width)))
        predicted = head.aux_branch(maps[-1:]).shape
    model.train(was_training)
    size = (predicted[3], predicted[2])
    if size != tuple(cfg.codec.heatmap_size):
        yield (
            f"The auxiliary branch predicts heat maps of {size} (w, h), but the codec has {cfg.codec.heatmap_size}: "
            "use an input size that is a multiple of 32, or set the codec's heatmap_size."
        )

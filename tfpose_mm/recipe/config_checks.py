"""Check that the parts of a config agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.registry import DATASETS

from ..datasets.config_data import LOADERS, find_mixed_annotations, list_data_sets, list_evaluators, read_metainfo
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
        *(_keypoints(cfg, loader) for loader in LOADERS),
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


def _keypoints(cfg: Config, loader: str) -> Iterator[str]:
    """The number K of keypoints, and of their sigmas, in the data sets of a loader."""
    whole = (cfg.get(loader) or {}).get("dataset") or {}
    # a wrapper with a metainfo converts to its own; the arguments of some data sets choose the keypoints
    sets = [whole] if whole.get("metainfo") else [data.settings for data in list_data_sets(cfg, loader)]
    for data in sets:
        described = data.get("metainfo") or getattr(DATASETS.get(data["type"]), "METAINFO", None)
        if not described:
            continue
        try:
            metainfo = read_metainfo(described)
        except (AssertionError, FileNotFoundError, KeyError) as error:
            yield (
                f"{loader}'s metainfo cannot be read ({error!r}): it needs dataset_name, keypoint_info, skeleton_info, "
                "joint_weights and sigmas, and swaps and links must name its own keypoints."
            )
            continue
        number, sigmas = metainfo["num_keypoints"], len(metainfo["sigmas"])
        if sigmas != number and any(metric.get("type") == "CocoMetric" for metric in list_evaluators(cfg)):
            yield f"{loader}'s metainfo has {sigmas} sigmas for {number} keypoints: give one for each keypoint."
        predicted = cfg.model.head.get("num_joints", number)
        if predicted != number:
            yield f"The head predicts {predicted} keypoints, but {loader} has {number}: set the head's num_joints."

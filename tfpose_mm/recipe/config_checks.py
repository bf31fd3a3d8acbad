"""Check that the parts of a config agree."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmengine
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.datasets.datasets.wholebody import CocoWholeBodyDataset
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS, METRICS, TRANSFORMS

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
METAINFO = ("dataset_name", "keypoint_info", "skeleton_info", "joint_weights", "sigmas")  # MMPose needs all of them
# annotation fields whose keypoints, concatenated, are the keypoints of COCO-WholeBody
WHOLE_BODY = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")


def find_problems(cfg: Config, model: BaseModel) -> list[str]:
    """Find inconsistencies in a config that MMPose does not report.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        A sentence for each problem: the expected value, the value in the config, and a fix.
    """
    checks = (
        find_worker_problems(cfg),
        _test_data(cfg),
        _pipelines(cfg),
        _codecs(cfg),
        _coordinates(cfg),
        _test_cfg(cfg, model),
        _keypoints(cfg),
    )
    problems = [*_custom_keys(cfg, model), *itertools.chain(*checks), *_heatmaps(cfg, model)]
    return list(dict.fromkeys(problems))  # data sets of one dataloader can have the same problem


def _steps(cfg: Config, loader: str) -> list[dict]:
    return [step for data in list_data_sets(cfg, loader) for step in data.steps]


def _custom_keys(cfg: Config, model: BaseModel) -> Iterator[str]:
    names = [name for name, _ in model.named_parameters()]
    for pattern in (cfg.optim_wrapper.get("paramwise_cfg") or {}).get("custom_keys", {}):
        if not any(pattern in name for name in names):
            yield f"custom_keys has '{pattern}', which no parameter's name contains: correct or delete it."


def _pipelines(cfg: Config) -> Iterator[str]:
    """MMPose reports these, too, but only when the training begins."""
    for loader in LOADERS:
        for step in _steps(cfg, loader):
            try:
                TRANSFORMS.build(step)
            except (TypeError, KeyError) as error:  # an unknown argument or type
                yield f"{loader}'s step {step['type']} cannot be built: {error}: correct its name or arguments."
            except (ImportError, RuntimeError) as error:  # MMPose's Albumentation raises a RuntimeError
                yield f"{loader}'s step {step['type']} cannot be built: {error}: install it, or delete the step."


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


def _codecs(cfg: Config) -> Iterator[str]:
    codec, fix = cfg.get("codec"), "use tfpose_mm.config.change_codec, which changes every copy."
    if codec is None:
        return
    variants = codec if isinstance(codec, list) else [codec]  # MSPN encodes each stage with its own codec
    decoder = cfg.model.head.get("decoder", variants[-1])  # None: a head that wraps another one
    if _plain(decoder) not in _plain(variants):
        yield f"model.head.decoder is {decoder}, but codec is {codec}: {fix}"
    size = tuple(variants[-1].input_size)
    for loader in LOADERS:
        for step in _steps(cfg, loader):
            if step["type"] == "GenerateTarget" and _plain(step.get("encoder")) != _plain(codec):
                yield f"{loader}'s targets are made by {step.get('encoder')}, but codec is {codec}: {fix}"
            if step["type"] == "TopdownAffine" and _plain(step.get("input_size")) != _plain(size):
                yield f"{loader} has input_size {step.get('input_size')}, but the codec has {size}: {fix}"


def _coordinates(cfg: Config) -> Iterator[str]:
    codec = cfg.get("codec")
    if not isinstance(codec, dict) or codec.get("type") != "TFPoseLabel":
        return
    for loader in LOADERS:
        for step in _steps(cfg, loader):
            if step["type"] == "TopdownAffine" and not step.get("use_udp"):
                yield f"{loader} has TopdownAffine without use_udp, which TFPoseLabel needs: set use_udp=True."
    test_cfg = cfg.model.get("test_cfg") or {}
    if test_cfg.get("flip_test") and test_cfg.get("shift_coords"):
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


def _test_data(cfg: Config) -> Iterator[str]:
    for name in ("val", "test"):
        yield from filter(None, [find_mixed_annotations(cfg, name)])


def _keypoints(cfg: Config) -> Iterator[str]:
    sets = [(loader, data) for loader in LOADERS for data in _with_metainfo(cfg, loader)]
    for loader, data in sets:
        described = data.get("metainfo") or getattr(DATASETS.get(data["type"]), "METAINFO", None)
        if not described:
            continue  # a wrapper of several data sets, or a data set whose arguments choose the keypoints
        try:
            metainfo = read_metainfo(described)
        except KeyError as error:
            yield f"{loader}'s metainfo names a joint {error} that it does not define: correct its swap or link."
            continue
        except FileNotFoundError as error:
            yield f"{loader}'s metainfo cannot be read: {error} Correct from_file."
            continue
        except AssertionError:
            yield f"{loader}'s metainfo needs {', '.join(METAINFO)}: add the missing one, empty if no metric needs it."
            continue
        needed = _needed_fields(cfg, data)
        yield from (f"{loader}'s metainfo {problem}" for problem in _metainfo(metainfo, needed))
        annotated = metainfo["num_keypoints"]
        yield from _annotations(loader, data, annotated)
        predicted = _predicted_keypoints(cfg, training=loader == LOADERS[0])
        if predicted is not None and annotated != predicted:
            yield f"The head predicts {predicted} keypoints, but {loader} has {annotated}: set the head's num_joints."


def _with_metainfo(cfg: Config, loader: str) -> list[dict]:
    """The data sets whose keypoints the model sees: a wrapper with a metainfo converts to its own."""
    whole = (cfg.get(loader) or {}).get("dataset") or {}
    return [whole] if whole.get("metainfo") else [data.settings for data in list_data_sets(cfg, loader)]


def _predicted_keypoints(cfg: Config, training: bool) -> int | None:
    """The number of keypoints K that the head predicts, ``None`` for a head with another argument."""
    kept = (cfg.model.get("test_cfg") or {}).get("output_keypoint_indices")
    if kept is not None and not training:
        return len(kept)
    codec, head = cfg.get("codec"), cfg.model.head
    channels = head.get("num_joints", head.get("out_channels"))
    combined = isinstance(codec, dict) and codec.get("heatmap_type") == "combined"  # a heat map and two offsets
    return channels // 3 if combined and channels is not None else channels


def _annotations(loader: str, data: dict, number: int) -> Iterator[str]:
    """Check that a COCO json, if it exists, has as many keypoints as the metainfo."""
    path = Path(data.get("data_root") or "") / data.get("ann_file", "")
    if path.suffix != ".json" or not path.is_file():
        return
    content = mmengine.load(str(path))
    instances = content.get("annotations", ()) if isinstance(content, dict) else ()  # MPII's is a list
    dataset = DATASETS.get(data["type"]) or object
    fields = WHOLE_BODY if issubclass(dataset, CocoWholeBodyDataset) else WHOLE_BODY[:1]
    lengths = {sum(len(item.get(field, ())) for field in fields) for item in instances if "keypoints" in item}
    for length in sorted(lengths - {3 * number}):
        yield (
            f"{loader}'s {path} has {length / 3:g} keypoints per instance, but its metainfo {number}: set the "
            "metainfo of these annotations."
        )


def _needed_fields(cfg: Config, data: dict) -> list[tuple[str, str]]:
    """Fields of the metainfo that a metric or a pipeline step uses, and what users call them."""
    needed = []
    if any(issubclass(METRICS.get(item["type"]) or object, CocoMetric) for item in list_evaluators(cfg)):
        needed.append(("sigmas", "sigmas"))
    if any(step.get("use_dataset_keypoint_weights") for step in data.get("pipeline", ())):
        needed.append(("dataset_keypoint_weights", "joint_weights"))
    return needed


def _metainfo(metainfo: dict, needed: list[tuple[str, str]]) -> Iterator[str]:
    number, flip = metainfo["num_keypoints"], metainfo["flip_indices"]
    names = keypoint_names(metainfo)
    for index, partner in enumerate(flip):
        if flip[partner] != index:
            yield (
                f"swaps {names[index]} with {names[partner]}, but not the reverse: a flip would lose a keypoint; set "
                "the swap of both, or of neither."
            )
    for field, name in needed:
        if len(metainfo[field]) != number:
            yield f"has {len(metainfo[field])} {name} for {number} keypoints: give one for each keypoint."


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

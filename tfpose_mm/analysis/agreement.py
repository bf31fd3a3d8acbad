"""Whether the parts of a config agree."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any, Iterator

import mmengine
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS, TRANSFORMS

from .recipe import names_by_rate, shortest_prefixes

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
TEST_CFG = ("flip_test", "shift_coords", "output_heatmaps", "keypoint_scores")  # what TFPoseHead reads
OTHERS = ("flip_mode", "shift_heatmap")  # what a config keeps that had another head


def find_problems(cfg: Config, model: BaseModel) -> list[str]:
    """What in a config does not agree, and MMPose would train without a word.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        A sentence for each problem, with what was expected, what was found, and what to do.
    """
    checks = (_pipelines(cfg), _codecs(cfg), _coordinates(cfg), _test_cfg(cfg), _keypoints(cfg))
    return [*_rates(cfg, model), *itertools.chain(*checks), *_heatmaps(cfg, model)]


def _rates(cfg: Config, model: BaseModel) -> Iterator[str]:
    names = [name for name, _ in model.named_parameters()]
    for pattern in (cfg.optim_wrapper.get("paramwise_cfg") or {}).get("custom_keys", {}):
        if not any(pattern in name for name in names):
            yield f"custom_keys has '{pattern}', which no parameter's name contains: correct or delete it."
    base = cfg.optim_wrapper.optimizer.get("lr")
    fast = [name for (lr, _), members in names_by_rate(cfg, model).items() if lr == base for name in members]
    full = [name for name in fast if "transformer_" in name]
    if full:
        yield (
            f"{', '.join(shortest_prefixes(full, names))} learn at the full rate {base:g}, not at the paper's tenth: "
            "set paramwise_cfg=dict(custom_keys={'transformer_': dict(lr_mult=0.1)})."
        )


def _pipelines(cfg: Config) -> Iterator[str]:
    """MMPose says it, too, but only when a training begins."""
    for loader in LOADERS:
        for step in cfg[loader].dataset.get("pipeline", ()):
            try:
                TRANSFORMS.build(step)
            except (TypeError, KeyError) as error:  # an argument, or a type, that there is none of
                yield f"{loader}'s step {step.type} cannot be built: {error}: correct its name or arguments."


def _plain(value: Any) -> Any:  # noqa: ANN401 - a config holds anything
    """With lists for tuples: ``--cfg-options`` and .json configs know only lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _codecs(cfg: Config) -> Iterator[str]:
    codec, remedy = cfg.get("codec"), "use tfpose_mm.config.change_codec, which changes every copy."
    if codec is None:
        return
    if _plain(cfg.model.head.get("decoder")) != _plain(codec):
        yield f"model.head.decoder is {cfg.model.head.get('decoder')}, but codec is {codec}: {remedy}"
    for loader in LOADERS:
        for step in cfg[loader].dataset.get("pipeline", ()):
            if step.type == "GenerateTarget" and _plain(step.get("encoder")) != _plain(codec):
                yield f"{loader}'s targets are made by {step.get('encoder')}, but codec is {codec}: {remedy}"
            if step.type == "TopdownAffine" and _plain(step.get("input_size")) != _plain(codec.input_size):
                size = tuple(codec.input_size)
                yield f"{loader} crops to {step.get('input_size')}, but the codec's input_size is {size}: {remedy}"


def _coordinates(cfg: Config) -> Iterator[str]:
    if cfg.get("codec", {}).get("type") != "TFPoseLabel":
        return
    for loader in LOADERS:
        for step in cfg[loader].dataset.get("pipeline", ()):
            if step.type == "TopdownAffine" and not step.get("use_udp"):
                yield f"{loader} crops without use_udp, which TFPoseLabel's coordinates need: set use_udp=True."
    test_cfg = cfg.model.get("test_cfg") or {}
    if test_cfg.get("flip_test") and test_cfg.get("shift_coords"):
        yield "test_cfg has shift_coords=True, but a mirrored label of TFPoseLabel is 1 - x: set it to False."


def _test_cfg(cfg: Config) -> Iterator[str]:
    """No head of MMPose says a word to a key that it does not read."""
    if cfg.model.head.type != "TFPoseHead":
        return
    test_cfg = cfg.model.get("test_cfg") or {}
    for key in sorted(set(test_cfg) - {*TEST_CFG, *OTHERS}):
        yield f"test_cfg has '{key}', which TFPoseHead does not read: choose among {', '.join(TEST_CFG)}."
    if test_cfg.get("keypoint_scores") not in (None, "heatmap", "sigma"):
        yield f"test_cfg.keypoint_scores is {test_cfg.keypoint_scores!r}: choose None, 'heatmap' or 'sigma'."


def _keypoints(cfg: Config) -> Iterator[str]:
    predicted = cfg.model.head.get("num_joints", cfg.model.head.get("out_channels"))
    for loader in LOADERS:
        data = cfg[loader].dataset
        dataset = DATASETS.get(data.type)
        if not hasattr(dataset, "METAINFO"):
            continue  # a wrapper, whose data sets may differ
        try:
            with warnings.catch_warnings():  # that MMPose's own file is taken from where MMPose is installed
                warnings.simplefilter("ignore", UserWarning)
                metainfo = parse_pose_metainfo(data.get("metainfo") or dataset.METAINFO)
        except KeyError as error:
            yield f"{loader}'s metainfo names a joint {error} that it does not define: correct swap or link."
            continue
        yield from (f"{loader}'s metainfo {problem}" for problem in _metainfo(metainfo))
        annotated = metainfo["num_keypoints"]
        yield from _annotations(loader, data, annotated)
        if predicted is not None and annotated != predicted:  # None: a head that counts in another way
            yield f"The head predicts {predicted} keypoints, but {loader} has {annotated}: set the head's num_joints."


def _annotations(loader: str, data: dict, number: int) -> Iterator[str]:
    """Whether a COCO json, if it is there, has as many joints as the metainfo."""
    path = Path(data.get("data_root") or "") / data.get("ann_file", "")
    if path.suffix != ".json" or not path.is_file():
        return
    content = mmengine.load(str(path))
    people = content.get("annotations", ()) if isinstance(content, dict) else ()  # MPII's is a list, its joints fixed
    lengths = {len(person["keypoints"]) for person in people if "keypoints" in person}
    for length in sorted(lengths - {3 * number}):
        yield (
            f"{loader}'s {path} has {length / 3:g} keypoints for a person, but its metainfo {number}: give the "
            "metainfo of these annotations."
        )


def _metainfo(metainfo: dict) -> Iterator[str]:
    number, flip = metainfo["num_keypoints"], metainfo["flip_indices"]
    names = [metainfo["keypoint_id2name"][index] for index in range(number)]
    for index, partner in enumerate(flip):
        if flip[partner] != index:
            yield (
                f"swaps {names[index]} with {names[partner]}, but not the reverse: a flip would lose a joint; give "
                "both their swap, or neither."
            )
    for field, name in (("sigmas", "sigmas"), ("dataset_keypoint_weights", "joint_weights")):
        if len(metainfo[field]) != number:
            yield f"has {len(metainfo[field])} {name} for {number} joints: give one for each."


def _heatmaps(cfg: Config, model: BaseModel) -> Iterator[str]:
    if getattr(model.head, "aux_branch", None) is None or "heatmap_size" not in cfg.get("codec", {}):
        return
    width, height = cfg.codec.input_size
    was_training = model.training
    with torch.no_grad():
        predicted = model.eval().head.forward_heatmaps(model.extract_feat(torch.zeros(1, 3, height, width))).shape
    model.train(was_training)
    size = (predicted[3], predicted[2])
    if size != tuple(cfg.codec.heatmap_size):
        yield (
            f"The auxiliary branch predicts heat maps of {size} (w, h), but the codec draws {cfg.codec.heatmap_size}: "
            "take crops whose sides are multiples of 32, or set the codec's heatmap_size."
        )

"""What a config trains, with what, and whether its parts agree."""

from __future__ import annotations

import warnings
from typing import Iterator, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATASETS

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


class ParameterGroup(NamedTuple):
    """Parameters that learn alike.

    Attributes:
        lr: Learning rate before the schedule.
        weight_decay: Weight decay.
        tensors: Number of tensors.
        parameters: Number of parameters.
        modules: The modules, as far up as all of a module's parameters are in this group.
    """

    lr: float
    weight_decay: float
    tensors: int
    parameters: int
    modules: tuple[str, ...]


def parameter_groups(cfg: Config, model: BaseModel) -> list[ParameterGroup]:
    """The optimiser's groups as MMEngine builds them, those that learn alike taken together.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        The groups, the highest learning rate first.
    """
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return [
        ParameterGroup(*key, len(members), sum(sizes[name] for name in members), _modules(members, list(sizes)))
        for key, members in sorted(_alike(cfg, model).items(), reverse=True)
    ]


def _alike(cfg: Config, model: BaseModel) -> dict[tuple[float, float], list[str]]:
    """Names of the parameters with the same learning rate and weight decay."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    alike: dict[tuple[float, float], list[str]] = {}
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")  # MMEngine logs three lines for each parameter
    try:
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    finally:
        logger.setLevel(level)
    for group in optimizer.param_groups:
        key = (group["lr"], group.get("weight_decay", 0.0))
        alike.setdefault(key, []).extend(names[parameter] for parameter in group["params"])
    return alike


def _modules(members: list[str], everything: list[str]) -> tuple[str, ...]:
    """The shortest prefixes that hold these names and no other."""
    others = set(everything) - set(members)
    modules = {}
    for name in members:
        parts = name.split(".")
        prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        modules[next(p for p in prefixes if not any(f"{other}.".startswith(f"{p}.") for other in others))] = None
    return tuple(modules)


def find_problems(cfg: Config, model: BaseModel) -> list[str]:
    """What in a config does not agree, and MMPose would train without a word.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        A sentence for each problem, with what was expected, what was found, and what to do.
    """
    return [*_rates(cfg, model), *_codecs(cfg), *_coordinates(cfg), *_keypoints(cfg), *_heatmaps(cfg, model)]


def _rates(cfg: Config, model: BaseModel) -> Iterator[str]:
    names = [name for name, _ in model.named_parameters()]
    for pattern in (cfg.optim_wrapper.get("paramwise_cfg") or {}).get("custom_keys", {}):
        if not any(pattern in name for name in names):
            yield f"custom_keys has '{pattern}', which no parameter's name contains: correct or delete it."
    base = cfg.optim_wrapper.optimizer.get("lr")
    fast = [name for (lr, _), members in _alike(cfg, model).items() if lr == base for name in members]
    full = [name for name in fast if "transformer_" in name]
    if full:
        yield (
            f"{', '.join(_modules(full, names))} learn at the full rate {base:g}, not at the paper's tenth: set "
            "paramwise_cfg=dict(custom_keys={'transformer_': dict(lr_mult=0.1)})."
        )


def _codecs(cfg: Config) -> Iterator[str]:
    codec, remedy = cfg.get("codec"), "use tfpose_mm.config.change_codec, which changes every copy."
    if codec is None:
        return
    if cfg.model.head.get("decoder") != codec:
        yield f"model.head.decoder is {cfg.model.head.get('decoder')}, but codec is {codec}: {remedy}"
    for loader in LOADERS:
        for step in cfg[loader].dataset.get("pipeline", ()):
            if step.type == "GenerateTarget" and step.encoder != codec:
                yield f"{loader}'s targets are made by {step.encoder}, but codec is {codec}: {remedy}"
            if step.type == "TopdownAffine" and tuple(step.input_size) != tuple(codec.input_size):
                size = tuple(codec.input_size)
                yield f"{loader} crops to {tuple(step.input_size)}, but the codec's input_size is {size}: {remedy}"


def _coordinates(cfg: Config) -> Iterator[str]:
    if cfg.get("codec", {}).get("type") != "TFPoseLabel":
        return
    for loader in LOADERS:
        for step in cfg[loader].dataset.get("pipeline", ()):
            if step.type == "TopdownAffine" and not step.get("use_udp"):
                yield f"{loader} crops without use_udp, which TFPoseLabel's coordinates need: set use_udp=True."
    test_cfg = cfg.model.get("test_cfg", {})
    if test_cfg.get("keypoint_scores") not in (None, "heatmap", "sigma"):
        yield f"test_cfg.keypoint_scores is {test_cfg.keypoint_scores!r}: choose None, 'heatmap' or 'sigma'."
    if test_cfg.get("flip_test") and test_cfg.get("shift_coords"):
        yield "test_cfg has shift_coords=True, but a mirrored label of TFPoseLabel is 1 - x: set it to False."


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
        if predicted is not None and annotated != predicted:  # None: a head that counts in another way
            yield f"The head predicts {predicted} keypoints, but {loader} has {annotated}: set the head's num_joints."


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


def describe(cfg: Config, model: BaseModel) -> str:
    """A recipe as text: parameter groups, optimiser, schedule, augmentation, targets, losses.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        Some lines, each topic under its name.
    """
    parts = [part for part in ("backbone", "neck", "head") if cfg.model.get(part)]
    data = cfg.train_dataloader.dataset
    total = sum(parameter.numel() for parameter in model.parameters())
    named = ", ".join(f"{part} {cfg.model[part].type}" for part in parts)
    topics = {
        "model": [f"{named}; {total / 1e6:.1f} M parameters, all that are trained counted"],
        "parameter groups": [
            f"lr {group.lr:g}, weight decay {group.weight_decay:g}: {group.tensors} tensors, "
            f"{group.parameters / 1e6:.2f} M parameters: {', '.join(group.modules)}"
            for group in parameter_groups(cfg, model)
        ],
        "optimiser": [_call(cfg.optim_wrapper.optimizer)],
        "schedule": [
            f"{cfg.train_cfg.max_epochs} epochs, {cfg.train_dataloader.batch_size} images a process and step; "
            f"the rates are for {(cfg.get('auto_scale_lr') or {}).get('base_batch_size', '?')} images a step",
            *map(_call, cfg.param_scheduler),
        ],
        "training data": [f"{data.type}, {data.ann_file}" if "ann_file" in data else data.type],
        "augmentation": [_call(step) for step in data.get("pipeline", ()) if step.type != "GenerateTarget"],
        "targets": [_call(cfg.get("codec"))],
        "loss": [_call(cfg.model.head.loss)] if cfg.model.head.get("loss") else ["the head's default"],
        "test": [_call(dict(type="test_cfg", **cfg.model.get("test_cfg", {})))],
    }
    return "\n".join(f"{topic}\n" + "\n".join(f"    {line}" for line in lines) for topic, lines in topics.items())


def _call(cfg: dict | list | None) -> str:
    """A config dict as the call that it stands for; anything else as it is."""
    if not isinstance(cfg, dict):
        return repr(cfg)
    return f"{cfg['type']}({', '.join(f'{key}={value!r}' for key, value in cfg.items() if key != 'type')})"

"""The recipe of a config (parameter groups, schedule, targets), and whether its parts agree: the command ``recipe``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmpose.registry import DATASETS, MODELS
from mmpose.utils import register_all_modules
from torch import Tensor

from .config_files import config_name, read_config
from .datasets.config_data import LOADERS, find_mixed_annotations, list_data_sets, read_metainfo

FIX = "use tfpose_mm.config.change_codec, which changes every copy."
ONE_RATE = "one learning rate for all parts of TFPoseHead; the paper's: custom_keys={'transformer_': dict(lr_mult=0.1)}"


class Recipe(NamedTuple):
    """The recipe of a config."""

    name: str  # of the config
    text: str  # see describe
    problems: list[str]  # see find_problems

    def __str__(self) -> str:
        """The recipe, and the problems."""
        return "\n".join([self.name, self.text, "\n    ".join(["checks", *(self.problems or ["no problem found"])])])

    @property
    def exit_status(self) -> int:
        """1 if there are problems, else 0."""
        return int(bool(self.problems))


def show_recipe(config: str | Path | Config, *, cfg_options: Mapping[str, Any] | Sequence[str] | None = None) -> Recipe:
    """Show the recipe of a config: learning rates, schedule, augmentation; and check it.

    It shows parameter groups, schedule, augmentation, targets and losses. MMPose silently accepts a learning-rate
    pattern that matches no parameter, or an input size that is changed in one of three places. Such problems are
    listed, and the exit status is 1.

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The recipe and its problems.

    Raises:
        UserError: If the config cannot be used.
    """
    cfg = read_config(config, cfg_options)
    register_all_modules()
    model = MODELS.build(cfg.model)
    return Recipe(config_name(cfg), describe(cfg, model), find_problems(cfg, model))


def describe(cfg: Config, model: BaseModel) -> str:
    """Describe parameter groups, optimizer, schedule, augmentation, targets and losses, for the model of a config."""
    groups = parameter_groups(cfg, model)
    head = {group.lr for group in groups for name in group.modules if name.partition(".")[0] == "head"}
    train = cfg.train_cfg
    length = f"{train.max_epochs} epochs" if train.get("max_epochs") else f"{train.get('max_iters')} iterations"
    schedulers = cfg.get("param_scheduler") or []
    loader, sets = cfg.train_dataloader, list_data_sets(cfg, "train_dataloader")
    topics = {
        "parameter groups": [
            f"lr {group.lr:g}, weight decay {group.weight_decay:g}: {group.tensors} tensors, "
            f"{group.parameters / 1e6:.2f} M parameters: {', '.join(group.modules[:8])}"
            + (f", and {len(group.modules) - 8} more" if len(group.modules) > 8 else "")
            for group in groups
        ]
        + [ONE_RATE] * (cfg.model.head.type == "TFPoseHead" and len(head) == 1),
        "optimizer": [_call(cfg.optim_wrapper.optimizer)],
        "schedule": [
            f"{length}, batch size {loader.get('batch_size', '?')} per process; "
            f"the learning rates are for batch size {(cfg.get('auto_scale_lr') or {}).get('base_batch_size', '?')}",
            *map(_call, schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]),
        ],
        "augmentation": [_call(step) for data in sets for step in data["pipeline"] if step["type"] != "GenerateTarget"],
        "targets": [_call(cfg.get("codec"))],
        "loss": [_call(cfg.model.head.get("loss") or "the head's default")],
    }
    # data sets of one dataloader can have the same steps
    return "\n".join("\n    ".join([topic, *dict.fromkeys(lines)]) for topic, lines in topics.items())


def _call(cfg: dict | list | str | None) -> str:
    """Format a config dict as a call."""
    if not isinstance(cfg, dict):
        return str(cfg)
    return f"{cfg['type']}({', '.join(f'{key}={value!r}' for key, value in cfg.items() if key != 'type')})"


class ParameterGroup(NamedTuple):
    """Parameters with the same learning rate and weight decay."""

    lr: float  # before the schedule
    weight_decay: float
    tensors: int  # number of tensors
    parameters: int  # number of parameters
    modules: tuple[str, ...]  # the largest modules whose parameters are all in this group


def parameter_groups(cfg: Config, model: BaseModel) -> list[ParameterGroup]:
    """The groups of the optimizer that MMEngine builds, merged where both values are equal; the highest lr first."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    alike: dict[tuple[float, float], list[Tensor]] = {}
    for group in build_optimizer(cfg, model).optimizer.param_groups:
        alike.setdefault((group["lr"], group.get("weight_decay", 0.0)), []).extend(group["params"])
    return [
        ParameterGroup(
            *key,
            tensors=len(members),
            parameters=sum(parameter.numel() for parameter in members),
            modules=_shortest_prefixes([names[parameter] for parameter in members], names.values()),
        )
        for key, members in sorted(alike.items(), key=lambda item: item[0], reverse=True)
    ]


def build_optimizer(cfg: Config, model: BaseModel) -> OptimWrapper:
    """The optimizer of a config for its model, without MMEngine's log of every parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        return build_optim_wrapper(model, cfg.optim_wrapper)
    finally:
        logger.setLevel(level)


def _shortest_prefixes(members: list[str], everything: Iterable[str]) -> tuple[str, ...]:
    """The shortest prefixes of the members' names that match no other name, each once."""
    others = set(everything) - set(members)
    modules = {}
    for name in members:
        prefixes = itertools.accumulate(name.split("."), "{}.{}".format)
        modules[next(p for p in prefixes if not any(f"{other}.".startswith(f"{p}.") for other in others))] = None
    return tuple(modules)


def find_problems(cfg: Config, model: BaseModel) -> list[str]:
    """Find inconsistencies in a config that MMPose does not report, with the model that it builds: a sentence each."""
    mixed = filter(None, (find_mixed_annotations(cfg, name) for name in ("val", "test")))
    keypoints = itertools.chain.from_iterable(_keypoints(cfg, loader) for loader in LOADERS)
    found = [*_custom_keys(cfg, model), *find_worker_problems(cfg), *mixed, *_codec(cfg), *keypoints]
    return list(dict.fromkeys(found))  # data sets of one dataloader can have the same problem


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
        for step in (step for data in list_data_sets(cfg, loader) for step in data["pipeline"]):
            if step["type"] == "GenerateTarget" and _plain(step.get("encoder")) != _plain(codec):
                yield f"{loader}'s targets are made by {step.get('encoder')}, but codec is {codec}: {FIX}"
            if step["type"] == "TopdownAffine" and _plain(step.get("input_size")) != _plain(size):
                yield f"{loader} has input_size {step.get('input_size')}, but the codec has {size}: {FIX}"
            if is_ours and step["type"] == "TopdownAffine" and not step.get("use_udp"):
                yield f"{loader} has TopdownAffine without use_udp, which TFPoseLabel needs: set use_udp=True."
    test_cfg = cfg.model.get("test_cfg") or {}
    if is_ours and test_cfg.get("flip_test") and test_cfg.get("shift_coords"):
        yield "test_cfg has shift_coords=True, but a mirrored label of TFPoseLabel is 1 - x: set it to False."


def _keypoints(cfg: Config, loader: str) -> Iterator[str]:
    """The number K of keypoints in the data sets of a loader."""
    whole = (cfg.get(loader) or {}).get("dataset") or {}
    # a wrapper with a metainfo converts to its own; the arguments of some data sets choose the keypoints
    sets = [whole] if whole.get("metainfo") else list_data_sets(cfg, loader)
    for data in sets:
        described = data.get("metainfo") or getattr(DATASETS.get(data["type"]), "METAINFO", None)
        if not described:
            continue
        try:
            number = read_metainfo(described)["num_keypoints"]
        except (AssertionError, FileNotFoundError, KeyError) as error:
            yield (
                f"{loader}'s metainfo cannot be read ({error!r}): it needs dataset_name, keypoint_info, skeleton_info, "
                "joint_weights and sigmas, and swaps and links must name its own keypoints."
            )
            continue
        predicted = cfg.model.head.get("num_joints", number)
        if predicted != number:
            yield f"The head predicts {predicted} keypoints, but {loader} has {number}: set the head's num_joints."

"""The recipe of a config: parameter groups, optimizer, schedule, augmentation, targets, losses."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules
from torch import Tensor

from ..config_files import read_config
from ..datasets.config_data import list_data_sets
from .config_checks import find_problems


class ParameterGroup(NamedTuple):
    """Parameters with the same learning rate and weight decay."""

    lr: float  # before the schedule
    weight_decay: float
    tensors: int  # number of tensors
    parameters: int  # number of parameters
    modules: tuple[str, ...]  # the largest modules whose parameters are all in this group


def parameter_groups(cfg: Config, model: BaseModel) -> list[ParameterGroup]:
    """The optimizer's groups as MMEngine builds them, merged where learning rate and weight decay are equal.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        The groups, the highest learning rate first.
    """
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


def describe(cfg: Config, model: BaseModel) -> str:
    """The recipe as text: parameter groups, optimizer, schedule, augmentation, targets, losses.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        Lines of text, grouped by topic.
    """
    groups = parameter_groups(cfg, model)
    head = {group.lr for group in groups for name in group.modules if name.partition(".")[0] == "head"}
    note = "one learning rate for all parts of TFPoseHead; the paper's: custom_keys={'transformer_': dict(lr_mult=0.1)}"
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
        + [note] * (cfg.model.head.type == "TFPoseHead" and len(head) == 1),
        "optimizer": [_call(cfg.optim_wrapper.optimizer)],
        "schedule": [
            f"{length}, batch size {loader.get('batch_size', '?')} per process; "
            f"the learning rates are for batch size {(cfg.get('auto_scale_lr') or {}).get('base_batch_size', '?')}",
            *map(_call, schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]),
        ],
        "augmentation": [_call(step) for data in sets for step in data.steps if step["type"] != "GenerateTarget"],
        "targets": [_call(cfg.get("codec"))],
        "loss": [_call(cfg.model.head.loss)] if cfg.model.head.get("loss") else ["the head's default"],
    }
    # data sets of one dataloader can have the same steps
    return "\n".join("\n    ".join([topic, *dict.fromkeys(lines)]) for topic, lines in topics.items())


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
    return Recipe(Path(cfg.filename or "config").stem, describe(cfg, model), find_problems(cfg, model))


def _call(cfg: dict | list | None) -> str:
    """Format a config dict as a call, and anything else with ``repr``."""
    if not isinstance(cfg, dict):
        return repr(cfg)
    return f"{cfg['type']}({', '.join(f'{key}={value!r}' for key, value in cfg.items() if key != 'type')})"

"""What a config trains, and with what."""

from __future__ import annotations

from typing import NamedTuple, Sequence

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper


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
        ParameterGroup(
            *key, len(members), sum(sizes[name] for name in members), shortest_prefixes(members, list(sizes))
        )
        for key, members in sorted(names_by_rate(cfg, model).items(), reverse=True)
    ]


def names_by_rate(cfg: Config, model: BaseModel) -> dict[tuple[float, float], list[str]]:
    """Names of the parameters that learn alike.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        For each pair of learning rate and weight decay the names.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    alike: dict[tuple[float, float], list[str]] = {}
    for group in build_optimiser(cfg, model).optimizer.param_groups:
        key = (group["lr"], group.get("weight_decay", 0.0))
        alike.setdefault(key, []).extend(names[parameter] for parameter in group["params"])
    return alike


def build_optimiser(cfg: Config, model: BaseModel) -> OptimWrapper:
    """The optimiser of a config, without the three lines that MMEngine logs for each parameter.

    Args:
        cfg: A config.
        model: The model that it builds.

    Returns:
        The optimiser.
    """
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        return build_optim_wrapper(model, cfg.optim_wrapper)
    finally:
        logger.setLevel(level)


def shortest_prefixes(members: list[str], everything: list[str]) -> tuple[str, ...]:
    """The shortest prefixes that hold these names and no other.

    Args:
        members: Some parameters' names.
        everything: All parameters' names.

    Returns:
        The prefixes, each once.
    """
    others = set(everything) - set(members)
    modules = {}
    for name in members:
        parts = name.split(".")
        prefixes = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
        modules[next(p for p in prefixes if not any(f"{other}.".startswith(f"{p}.") for other in others))] = None
    return tuple(modules)


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
            f"{group.parameters / 1e6:.2f} M parameters: {_shorten(group.modules)}"
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


def _shorten(names: Sequence[str], most: int = 8) -> str:
    """The first names, and how many more there are."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _call(cfg: dict | list | None) -> str:
    """A config dict as the call that it stands for; anything else as it is."""
    if not isinstance(cfg, dict):
        return repr(cfg)
    return f"{cfg['type']}({', '.join(f'{key}={value!r}' for key, value in cfg.items() if key != 'type')})"

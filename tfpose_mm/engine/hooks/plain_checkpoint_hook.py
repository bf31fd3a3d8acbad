"""Save checkpoints that any torch loads safely, and report parameters that do not fit."""

from __future__ import annotations

import logging
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ...errors import UserError
from ...host.requirements import list_versions
from ...version import __version__
from ..parameter_table import compare_parameters, format_differences

PLAIN: tuple[type, ...] = (bool, int, float, complex, str, bytes, type(None), torch.Tensor)


def to_plain(value: object) -> Any:  # noqa: ANN401 - as json.loads
    """Convert a value to types that ``torch.load(weights_only=True)`` accepts.

    Args:
        value: Numbers, text, tensors, arrays, MMEngine's ``HistoryBuffer``, and containers of them.

    Returns:
        A copy: arrays become lists, NumPy scalars Python numbers, paths text. Anything else becomes ``None``, with a
        warning.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value if type(value) in PLAIN else _base(value)
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return (tuple if isinstance(value, tuple) else list)(to_plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, HistoryBuffer):
        return {name: to_plain(getattr(value, name)) for name in ("_log_history", "_count_history", "max_length")}
    if isinstance(value, PurePath):
        return str(value)
    print_log(
        f"A {type(value).__name__} is not saved in checkpoints, which hold plain data only.", "current", logging.WARNING
    )
    return None


def _base(value: object) -> object:
    """An instance of a subclass, as an enum's member or ``nn.Parameter``, as the plain type itself."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    return next(kind(value) for kind in PLAIN if isinstance(value, kind))


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Save plain data in checkpoints; report how the parameters of a loaded checkpoint differ from the model's.

    MMEngine saves objects of its own and of NumPy in a checkpoint. ``torch.load`` refuses them since torch 2.6, because
    loading objects can run code. With this hook a checkpoint has tensors, numbers, text and containers of them only.
    """

    priority = "LOWEST"  # after the hooks that add to the checkpoint

    def __init__(self) -> None:
        self.validated_iter: int | None = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Remember which weights are validated: MMEngine saves most checkpoints before their validation."""
        self.validated_iter = runner.iter

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add versions and the last validated iteration; convert all but the parameters to plain types."""
        checkpoint["meta"]["versions"] = dict(tfpose_mm=__version__, **list_versions())
        checkpoint["meta"]["validated_iter"] = self.validated_iter
        for name in [name for name in checkpoint if name not in ("state_dict", "ema_state_dict")]:
            checkpoint[name] = to_plain(checkpoint[name])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Log a table of the parameters that do not fit the model.

        Raises:
            UserError: If a training should resume from a file that has weights only.
        """
        if runner.cfg.get("resume") and not {"meta", "message_hub"} <= set(checkpoint):
            raise UserError(
                "Resuming needs a training checkpoint with epoch and logged values, but the file has weights only: set "
                "load_from without resume to start a new training from these weights."
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        differences = compare_parameters(model.state_dict(), checkpoint.get("state_dict", checkpoint))
        if differences:
            table = format_differences(differences)
            runner.logger.warning(f"The checkpoint does not fit the model; what fits is loaded:\n{table}")

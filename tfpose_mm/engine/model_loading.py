"""Load a checkpoint into a model, or refuse it with a table of what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import ConfigDict
from mmpose.registry import MODELS
from torch import nn

from ..errors import UserError
from ..tables import markdown_table
from .checkpoint_loader import read_checkpoint

SHOWN = 40  # rows of the table


def load_model(cfg: ConfigDict, checkpoint: str | Path, device: str = "cpu") -> nn.Module:
    """Build a model for inference and load its weights.

    Args:
        cfg: Config of the model.
        checkpoint: The file. Parameters that the model does not have are ignored.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: See :func:`read_fitting_weights`.
    """
    model = MODELS.build(cfg).eval()
    model.load_state_dict(read_fitting_weights(model, checkpoint), strict=False)
    return model.to(device)


def read_fitting_weights(model: nn.Module, checkpoint: str | Path) -> dict[str, torch.Tensor]:
    """Read the parameters of a checkpoint that has all parameters of a model.

    MMEngine only warns if a checkpoint lacks parameters, and keeps their random values.

    Args:
        model: The model.
        checkpoint: The file.

    Returns:
        The parameters and buffers by name.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it cannot be read, or a parameter of the model is missing or has another shape; the message has a
            table of all differences.
    """
    content = read_checkpoint(checkpoint)
    state = _without_module(content.get("state_dict", content))
    differences = compare_parameters(model.state_dict(), state)
    trained = {name for name, _ in model.named_parameters()}
    if any(difference.name in trained for difference in differences):
        raise UserError(
            f"The checkpoint {checkpoint} does not fit the config's model: use the config that it was trained with.\n"
            f"{format_differences(differences)}"
        )
    return state


class Difference(NamedTuple):
    """A parameter or buffer that only one side has, or whose shapes differ.

    Attributes:
        name: Its name in the state dict.
        problem: ``"missing"`` (in the checkpoint), ``"other shape"`` or ``"unexpected"`` (not in the model).
        model: Its shape in the model, ``None`` if unexpected.
        checkpoint: Its shape in the checkpoint, ``None`` if missing.
    """

    name: str
    problem: str
    model: tuple[int, ...] | None
    checkpoint: tuple[int, ...] | None


def compare_parameters(model: Mapping[str, torch.Tensor], checkpoint: Mapping[str, torch.Tensor]) -> list[Difference]:
    """Compare two state dicts by names and shapes.

    Args:
        model: The state dict of the model.
        checkpoint: The state dict of the checkpoint. MMEngine removes a leading ``module.`` of its names, and so does
            this function. Entries that are not tensors are left out.

    Returns:
        The differences, in the order of the model, then unexpected ones.
    """
    expected, given = _shapes(model), _shapes(_without_module(checkpoint))
    differences = []
    for name in {**expected, **given}:
        shape, other = expected.get(name), given.get(name)
        if shape != other:
            problem = "unexpected" if shape is None else "missing" if other is None else "other shape"
            differences.append(Difference(name, problem, shape, other))
    return differences


def format_differences(differences: Sequence[Difference]) -> str:
    """The differences as a Markdown table.

    Args:
        differences: From :func:`compare_parameters`.

    Returns:
        Up to 40 rows, and the number of those left out.
    """
    rows = [["parameter", "problem", "model", "checkpoint"]]
    rows += [[d.name, d.problem, _format(d.model), _format(d.checkpoint)] for d in differences[:SHOWN]]
    left_out = len(differences) - SHOWN
    return "\n".join(markdown_table(rows) + ([f"and {left_out} more"] if left_out > 0 else []))


def _without_module(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without the leading ``module.`` of names, which wrappers for several GPUs add."""
    return {name[7:] if name.startswith("module.") else name: value for name, value in state.items()}


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items() if isinstance(value, torch.Tensor)}


def _format(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else " x ".join(map(str, shape)) or "scalar"

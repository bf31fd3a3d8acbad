"""Load a checkpoint into a model, or refuse it with a table of what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.config import ConfigDict
from mmpose.registry import MODELS
from torch import nn

from ..errors import UserError
from ..tables import markdown_table
from .checkpoint_loader import read_checkpoint

SHOWN = 40  # rows of the table


def load_model(cfg: ConfigDict, checkpoint: str | Path, device: str = "cpu") -> nn.Module:
    """Build a model for inference, in evaluation mode, and load its weights, see :func:`read_fitting_weights`.

    Args:
        cfg: Config of the model.
        checkpoint: The file. Parameters that the model does not have are ignored.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.
    """
    model = MODELS.build(cfg).eval()
    model.load_state_dict(read_fitting_weights(model, checkpoint), strict=False)
    return model.to(device)


def read_fitting_weights(model: nn.Module, checkpoint: str | Path) -> dict[str, torch.Tensor]:
    """Read the parameters of a checkpoint that has all parameters of a model.

    MMEngine only warns if a checkpoint lacks parameters, and keeps their random values.

    Raises:
        UserError: If the file cannot be read, or a parameter of the model is missing or has another shape; the message
            has a table of all parameters and buffers that differ.
    """
    content = read_checkpoint(checkpoint)
    # MMEngine removes the "module." of wrappers for several GPUs, too
    state = {name.removeprefix("module."): value for name, value in content.get("state_dict", content).items()}
    expected, given = _shapes(model.state_dict()), _shapes(state)
    names = [name for name in {**expected, **given} if expected.get(name) != given.get(name)]
    if {name for name, _ in model.named_parameters()}.intersection(names):
        rows = [[name, expected.get(name, "missing"), given.get(name, "missing")] for name in names]
        left_out = f"\nand {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        table = "\n".join(markdown_table([["parameter", "model", "checkpoint"], *rows[:SHOWN]]))
        raise UserError(
            f"The checkpoint {checkpoint} does not fit the config's model: use the config that it was trained with.\n"
            f"{table}{left_out}"
        )
    return state


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: " x ".join(map(str, value.shape)) or "scalar" for name, value in tensors.items()}

"""Load a checkpoint into a model, or refuse it with a table of what does not fit."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import ConfigDict
from mmpose.registry import MODELS
from torch import nn

from ..errors import UserError
from .checkpoint_loader import read_checkpoint
from .parameter_table import compare_parameters, format_differences, without_module


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
    state = without_module(content.get("state_dict", content))
    differences = compare_parameters(model.state_dict(), state)
    trained = {name for name, _ in model.named_parameters()}
    if any(difference.name in trained for difference in differences):
        raise UserError(
            f"The checkpoint {checkpoint} does not fit the config's model: use the config that it was trained with.\n"
            f"{format_differences(differences)}"
        )
    return state

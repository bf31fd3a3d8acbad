"""Load a checkpoint into a model, or refuse it with a table of what does not fit."""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from tfpose_mm.utils import UserError

from .checkpoint_loader import read_checkpoint
from .parameter_table import compare_parameters, format_differences


def load_weights(model: nn.Module, checkpoint: str | Path) -> None:
    """Load a checkpoint. MMEngine only warns if a checkpoint lacks parameters, and keeps their random values.

    Args:
        model: The model; it is changed.
        checkpoint: The file. Parameters that the model does not have are ignored.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it cannot be read, or a parameter of the model is missing or has another shape; the message has a
            table of all differences.
    """
    content = read_checkpoint(checkpoint)
    state = content.get("state_dict", content)
    check_fit(model, state, checkpoint)
    model.load_state_dict({re.sub(r"^module\.", "", name): value for name, value in state.items()}, strict=False)


def check_fit(model: nn.Module, state: dict, checkpoint: str | Path) -> None:
    """Check that a state dict has all parameters of a model.

    Args:
        model: The model.
        state: The state dict.
        checkpoint: Its file, for the message.

    Raises:
        UserError: If a parameter is missing or has another shape; the message has a table of all differences.
    """
    differences = compare_parameters(model.state_dict(), state)
    trained = {name for name, _ in model.named_parameters()}
    if any(difference.name in trained for difference in differences):
        raise UserError(
            f"The checkpoint {checkpoint} does not fit the config's model: use the config that it was trained with.\n"
            f"{format_differences(differences)}"
        )

"""Compare the parameters of a model with those of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from ..tables import markdown_table

SHOWN = 20


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
    expected = _shapes(model)
    given = _shapes(without_module(checkpoint))
    differences = []
    for name, shape in expected.items():
        if name not in given:
            differences.append(Difference(name, "missing", shape, None))
        elif given[name] != shape:
            differences.append(Difference(name, "other shape", shape, given[name]))
    return differences + [Difference(n, "unexpected", None, shape) for n, shape in given.items() if n not in expected]


def without_module(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict without the leading ``module.`` of names, which wrappers for several GPUs add."""
    return {re.sub(r"^module\.", "", name): value for name, value in state.items()}


def format_differences(differences: Sequence[Difference]) -> str:
    """The differences as a Markdown table.

    Args:
        differences: From :func:`compare_parameters`.

    Returns:
        Up to 20 rows of each kind of problem, and the number of those left out.
    """
    rows, left_out = [["parameter", "problem", "model", "checkpoint"]], []
    for problem in ("missing", "other shape", "unexpected"):
        found = [difference for difference in differences if difference.problem == problem]
        rows += [[d.name, d.problem, _format(d.model), _format(d.checkpoint)] for d in found[:SHOWN]]
        if len(found) > SHOWN:
            left_out.append(f"{len(found) - SHOWN} more {problem}")
    return "\n".join(markdown_table(rows) + ([f"and {', '.join(left_out)}"] if left_out else []))


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items() if isinstance(value, torch.Tensor)}


def _format(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else " x ".join(map(str, shape)) or "scalar"

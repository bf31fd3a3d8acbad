"""Accuracy over epochs, as the paper's Figure 5."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Sequence

from matplotlib.figure import Figure


class Curve(NamedTuple):
    """A training.

    Attributes:
        name: Its label.
        values: For each epoch what was measured.
    """

    name: str
    values: dict[int, float]


def draw_curves(curves: Sequence[Curve], metric: str, path: Path) -> None:
    """Draw one line for each training, labelled at its end.

    Args:
        curves: The trainings.
        metric: Name of what was measured.
        path: The picture.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for curve in sorted(curves, key=lambda curve: -curve.values[max(curve.values)]):
        epochs = sorted(curve.values)
        axis.plot(epochs, [curve.values[epoch] for epoch in epochs], marker=".", label=curve.name)
    axis.set_xlabel("epoch")
    axis.set_ylabel(metric)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)

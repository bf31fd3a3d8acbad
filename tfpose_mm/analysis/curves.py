"""Plots of a training: accuracy over epochs, as in Figure 5 of the paper, and losses over iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = 10  # matplotlib repeats its colours after these
LINES = ("-", "--", ":", "-.")


class Curve(NamedTuple):
    """The results of a training.

    Attributes:
        name: Its label; trainings with the same name differ in their seed.
        values: The measured value for each epoch.
    """

    name: str
    values: dict[int, float]


def draw_curves(curves: Sequence[Curve], metric: str, path: Path) -> None:
    """Draw one line for each training; each name has its own colour and line style.

    Args:
        curves: The trainings.
        metric: Name of the metric.
        path: The image file.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axis = figure.subplots()
    styles: dict[str, tuple[str, str]] = {}
    for curve in sorted(curves, key=lambda curve: -curve.values[max(curve.values)]):
        epochs = sorted(curve.values)
        seeds = sum(other.name == curve.name for other in curves)
        label = f"{curve.name} ({seeds} seeds)" if seeds > 1 else curve.name
        label = None if curve.name in styles else label  # one legend entry for all seeds
        turn, place = divmod(len(styles), COLOURS)
        colour, line = styles.setdefault(curve.name, (f"C{place}", LINES[turn % len(LINES)]))
        values = [curve.values[epoch] for epoch in epochs]
        axis.plot(epochs, values, marker=".", color=colour, linestyle=line, label=label)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel(metric)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)  # beside the plot
    figure.savefig(path, dpi=120)


def draw_losses(trainings: Sequence[tuple[str, Mapping[str, Mapping[int, float]]]], path: Path) -> None:
    """Draw losses, learning rate and training accuracy of trainings, a panel for each logged value.

    Args:
        trainings: Label and logged values of each training, by name and iteration; at least one value.
        path: The image file.
    """
    names = sorted({name for _, values in trainings for name in values})
    labels = list(dict.fromkeys(label for label, _ in trainings))  # one colour for all seeds
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(3.2 * columns + 0.4, 2.3 * rows + 0.5), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True)).reshape(-1)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    lines = {}
    for axis, name in zip(axes, names):
        for label, values in trainings:
            series = values.get(name, {})
            turn, place = divmod(labels.index(label), COLOURS)
            style = dict(color=f"C{place}", linestyle=LINES[turn % len(LINES)])
            (lines[label],) = axis.plot(list(series), list(series.values()), **style)
        axis.set_title(name, fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axis in axes[max(0, len(names) - columns) : len(names)]:
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("iteration", fontsize=8)
    if len(labels) > 1:
        figure.legend(lines.values(), lines, loc="outside upper center", ncols=3, fontsize=8)
    figure.savefig(path, dpi=120)

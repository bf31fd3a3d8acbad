"""Accuracy over epochs, as the paper's Figure 5."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = 10  # of matplotlib, after which they repeat
LINES = ("-", "--", ":", "-.")


class Curve(NamedTuple):
    """A training.

    Attributes:
        name: Its label; trainings of the same name differ by their seed.
        values: For each epoch what was measured.
    """

    name: str
    values: dict[int, float]


def draw_curves(curves: Sequence[Curve], metric: str, path: Path) -> None:
    """Draw one line for each training, those of the same name alike, every other name in its own colour and style.

    Args:
        curves: The trainings.
        metric: Name of what was measured.
        path: The picture.
    """
    figure = Figure(figsize=(9, 5), layout="constrained")
    axis = figure.subplots()
    styles: dict[str, tuple[str, str]] = {}
    for curve in sorted(curves, key=lambda curve: -curve.values[max(curve.values)]):
        epochs = sorted(curve.values)
        seeds = sum(other.name == curve.name for other in curves)
        label = f"{curve.name} ({seeds} seeds)" if seeds > 1 else curve.name
        label = None if curve.name in styles else label  # one entry of the legend for all
        turn, place = divmod(len(styles), COLOURS)
        colour, line = styles.setdefault(curve.name, (f"C{place}", LINES[turn % len(LINES)]))
        values = [curve.values[epoch] for epoch in epochs]
        axis.plot(epochs, values, marker=".", color=colour, linestyle=line, label=label)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel(metric)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)  # beside, not over the lines
    figure.savefig(path, dpi=120)

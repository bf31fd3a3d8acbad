"""Plot of accuracy over epochs, as in Figure 5 of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Sequence

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

"""Accuracy of models against what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Sequence

from matplotlib.figure import Figure


class Point(NamedTuple):
    """A model in the plot.

    Attributes:
        name: Its label.
        accuracy: As measured.
        latency: Milliseconds.
        gflops: Multiply-adds in units of 10^9.
    """

    name: str
    accuracy: float
    latency: float
    gflops: float


def draw_accuracy_plot(points: Sequence[Point], metric: str, path: Path) -> None:
    """Draw accuracy against latency and against multiply-adds, side by side.

    Args:
        points: The models.
        metric: Name of the accuracy.
        path: The picture.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, field, label in zip(axes, ("latency", "gflops"), ("latency, ms, batch 1", "GFLOPs (multiply-adds)")):
        for point in points:
            axis.plot(getattr(point, field), point.accuracy, "o")
            axis.annotate(
                point.name,
                (getattr(point, field), point.accuracy),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=8,
            )
        axis.set_xlabel(label)
        axis.set_xlim(left=0)
        axis.margins(x=0.25)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(metric)
    figure.savefig(path, dpi=120)

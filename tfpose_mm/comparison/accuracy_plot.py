"""Plot of accuracy against latency and MACs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure


class Point(NamedTuple):
    """A model in the plot.

    Attributes:
        name: Its label.
        accuracy: The measured accuracy.
        latency: Latency in milliseconds.
        gflops: MACs in units of 10^9.
    """

    name: str
    accuracy: float
    latency: float
    gflops: float


def draw_accuracy_plot(points: Sequence[Point], metric: str, path: Path) -> None:
    """Draw accuracy against latency and against MACs, side by side.

    Args:
        points: The models.
        metric: Name of the accuracy metric.
        path: The image file.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, field, label in zip(axes, ("latency", "gflops"), ("latency, ms, batch 1", "GFLOPs (MACs)")):
        for point in points:
            axis.plot(getattr(point, field), point.accuracy, "o", label=point.name)
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.1 * max(getattr(point, field) for point in points))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(metric)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))  # beside the plots: long names
    figure.savefig(path, dpi=120)

"""Plot of latency against batch size, input size, keypoints and encoder layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure


class Growth(NamedTuple):
    """Latency of models against one size.

    Attributes:
        label: The size, the label of the axis.
        ticks: Its values.
        latencies: Milliseconds per image by the model's name, one for each value.
    """

    label: str
    ticks: Sequence[str]
    latencies: dict[str, Sequence[float]]


def draw_growth(panels: Sequence[Growth], path: Path) -> None:
    """Draw one panel for each size.

    Args:
        panels: The measurements.
        path: The image file.
    """
    figure = Figure(figsize=(3.6 * len(panels), 3.8), layout="constrained")
    for axis, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        for name, latencies in panel.latencies.items():
            axis.plot(panel.ticks, latencies, marker="o", label=name)
        axis.set_xlabel(panel.label)
        axis.set_ylabel("latency, ms per image")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=120)

"""Reliability diagrams of keypoint scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure


def draw_reliability(diagrams: Mapping[str, Sequence[tuple[float, float, int]]], path: Path) -> None:
    """Draw the fraction of correct keypoints against their score; a calibrated score lies on the diagonal.

    Args:
        diagrams: The bins of each kind of score: mean score, fraction of correct keypoints, number of keypoints.
        path: The image file.
    """
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    for name, bins in diagrams.items():
        scores, correct, numbers = zip(*bins)
        total = sum(numbers)
        axis.plot(scores, correct, marker="o", label=name)
        axis.scatter(scores, correct, s=[600 * number / total for number in numbers], alpha=0.3)
    axis.set_xlabel("score")
    axis.set_ylabel("fraction of keypoints that are right (PCK@0.2)")
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.02)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)

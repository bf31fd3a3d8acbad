"""The paper's figures of attention, and how the decoder refines keypoints. All functions write image files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# colour-blind safe (Okabe and Ito)
RED, YELLOW, BLUE, GREEN, BLACK = "#D55E00", "#F0E442", "#0072B2", "#009E73", "#000000"
PANEL, TITLE, GAP = 1.25, 0.22, 0.1  # width of a panel, height of its title and space between panels, in inches
COLUMNS = 6  # of panels, at most


@dataclass
class Panel:
    """An image with points on it. All positions are (x, y) in pixels of the image; what is outside is cut off."""

    title: str
    image: np.ndarray  # (h, w, 3) uint8 RGB
    points: np.ndarray  # (N, 2)
    colours: str | Sequence[str] | np.ndarray = RED  # a colour, N colours, or with a colour bar N values
    lines: Sequence[tuple[str, np.ndarray]] = ()  # colour and positions (M, 2) of each
    circle: np.ndarray | None = None  # (2,)
    cross: np.ndarray | None = None  # (2,)


def draw_panels(panels: Sequence[Panel], path: Path, bar: str = "", ticks: Sequence[float] | None = None) -> None:
    """Draw panels with images of one size in a grid; with a label, a colour bar from 0 to the largest value."""
    height, width = panels[0].image.shape[:2]
    columns = min(COLUMNS, len(panels))
    title, gap = (round(inches / PANEL * width) for inches in (TITLE, GAP))
    corners = [
        np.array([index % columns * (width + gap), index // columns * (height + title) + title])
        for index in range(len(panels))
    ]
    # one axis for all panels, because matplotlib needs more time for an axis than for its content
    canvas = np.full((corners[-1][1] + height, columns * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for panel, (left, top) in zip(panels, corners):
        canvas[top : top + height, left : left + width] = panel.image
    rows, across = np.array(canvas.shape[:2]) / width * PANEL
    figure = Figure(figsize=(across, rows))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    axis.imshow(canvas, interpolation="nearest")  # smoothing takes half of the time of a figure
    axis.autoscale(False)  # what is outside the images is cut off
    mapped = dict(cmap="plasma", vmin=0, vmax=max(np.asarray(panel.colours).max() for panel in panels)) if bar else {}
    for panel, corner in zip(panels, corners):
        _draw_panel(axis, panel, corner, mapped)
    if bar:
        beside = figure.add_axes((1 + 0.2 / across, 0.1, 0.1 / across, 0.8))  # savefig enlarges the figure
        _colour_bar(figure, axis.collections[0], bar, cax=beside, ticks=ticks)
    _save(figure, path)


def _draw_panel(axis: Axes, panel: Panel, corner: np.ndarray, mapped: dict[str, Any]) -> None:
    height, width = panel.image.shape[:2]
    axis.text(corner[0] + width / 2, corner[1] - 3, panel.title, ha="center", fontsize=7)
    drawn: list = [
        line for colour, ends in panel.lines for line in axis.plot(*(ends + corner).T, color=colour, linewidth=1.2)
    ]
    drawn.append(axis.scatter(*(panel.points + corner).T, c=panel.colours, s=7, linewidths=0, zorder=3, **mapped))
    styles: tuple[dict[str, Any], ...] = (
        dict(s=45, facecolors="none", edgecolors=YELLOW, linewidths=1.4),
        dict(s=40, marker="x", color=YELLOW, linewidths=1.6),
    )
    for place, style in zip((panel.circle, panel.cross), styles):
        if place is not None:
            drawn.append(axis.scatter(*(place + corner), zorder=4, **style))
    for artist in drawn:
        artist.set_clip_path(Rectangle(tuple(corner - 0.5), width, height, transform=axis.transData))


def draw_query_attention(attention: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Query-to-query attention of each decoder layer, (N_D, K, K); row i is what query i attends to (Figure 6)."""
    layers, count = attention.shape[:2]
    columns = min(layers, 3)
    rows = -(-layers // columns)
    side = max(2.6, 0.17 * count)
    figure = Figure(figsize=(side * columns + 1.4, (side + 0.3) * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).reshape(-1)
    for layer, axis in enumerate(axes[:layers]):
        _show_matrix(axis, attention[layer], names, attention.max())
        axis.set_title(f"decoder layer {layer + 1}", fontsize=9)
        axis.tick_params(labelbottom=layer + columns >= layers)
    for axis in axes[layers:]:
        axis.set_visible(False)
    _colour_bar(figure, axes[0].images[0], "mean attention weight", ax=axes, shrink=0.8)
    figure.supxlabel("attended query (key)", fontsize=8)
    figure.supylabel("query", fontsize=8)
    _save(figure, path)


def draw_skeleton_attention(
    attention: np.ndarray, positions: np.ndarray, pairs: Sequence[tuple[int, int]], names: Sequence[str], path: Path
) -> None:
    """A layer's attention between pairs of keypoints, as a graph on a skeleton beside the matrix (Figures 8 and 9).

    The attention is (K, K), the positions of the keypoints are (K, 2), (x, y) in pixels.
    """
    figure = Figure(figsize=(7.7, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    _show_matrix(left, attention, names, None)
    left.set_xlabel("attended query (key)", fontsize=8)
    left.set_ylabel("query", fontsize=8)
    _colour_bar(figure, left.images[0], "mean attention weight", ax=left, shrink=0.8)
    both = attention + attention.T
    strongest = max((both[first, second] for first, second in pairs), default=1.0)
    for first, second in pairs:
        for row, column in ((first, second), (second, first)):
            left.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=RED, linewidth=0.9))
        strength = both[first, second] / strongest
        ends = positions[[first, second]]
        right.plot(*ends.T, color=RED, linewidth=0.5 + 4.5 * strength, alpha=0.4 + 0.6 * strength)
    right.scatter(*positions.T, s=14, color=BLACK, zorder=3)
    right.set_title("width: attention in both directions", fontsize=8)
    right.set_aspect("equal")
    right.invert_yaxis()
    right.margins(0.15)
    right.axis("off")
    _save(figure, path)


def draw_layer_errors(errors: np.ndarray, correct: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Mean distance in box sizes, (N_D + 1, K), and PCK@0.2, (N_D + 1,), after each decoder layer."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    layers = range(len(errors))
    left.plot(layers, correct, marker="o", color=BLUE)
    left.set_ylabel("PCK@0.2")
    left.set_ylim(0, 1.02)
    right.plot(layers, errors, color="0.75", linewidth=0.8)
    for index in np.argsort(-np.nan_to_num(errors[-1], nan=-1))[:3]:  # the three with the largest error
        right.plot(layers, errors[:, index], linewidth=1.2, label=names[index])
    right.plot(layers, np.nanmean(errors, axis=1), color=BLACK, marker="o", linewidth=1.8, label="mean")
    right.set_ylabel("mean error (box sizes)")
    right.set_ylim(bottom=0)
    right.legend(fontsize=7)
    for axis in (left, right):
        axis.set_xlabel("decoder layer (0: y_0)")
        axis.set_xticks(list(layers))
        axis.grid(alpha=0.3)
    _save(figure, path)


def _show_matrix(axis: Axes, attention: np.ndarray, names: Sequence[str], largest: float | None) -> None:
    axis.imshow(attention, cmap="viridis", vmin=0, vmax=largest)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    axis.set_yticks(range(len(names)), names, fontsize=6)


def _colour_bar(figure: Figure, drawn: ScalarMappable, label: str, **options: Any) -> None:  # noqa: ANN401
    bar = figure.colorbar(drawn, **options)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=200, bbox_inches="tight", pad_inches=0.06)

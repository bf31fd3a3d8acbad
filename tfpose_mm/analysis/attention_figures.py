"""The paper's figures of attention, and how the decoder refines keypoints. All functions write image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

COLUMN = 3.5  # width of a column of a paper, in inches
DPI = 200
# colour-blind safe (Okabe and Ito)
RED, YELLOW, BLUE, GREEN, BLACK = "#D55E00", "#F0E442", "#0072B2", "#009E73", "#000000"


def draw_query_attention(attention: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Mean query-to-query attention of each decoder layer (Figure 6).

    Args:
        attention: (N_D, K, K); row i is what query i attends to.
        names: Names of the K keypoints.
        path: The image file.
    """
    layers, count = attention.shape[:2]
    columns = min(layers, 3)
    rows = -(-layers // columns)
    side = max(2.6, 0.17 * count)
    figure = Figure(figsize=(side * columns + 1.4, (side + 0.3) * rows + 0.9), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).reshape(rows, columns)
    for layer, axis in enumerate(axes.reshape(-1)):
        if layer >= layers:
            axis.set_visible(False)
            continue
        axis.imshow(attention[layer], cmap="viridis", vmin=0, vmax=attention.max())
        axis.set_title(f"decoder layer {layer + 1}", fontsize=9)
        axis.set_xticks(range(count), names, rotation=90, fontsize=6)
        axis.set_yticks(range(count), names, fontsize=6)
        axis.tick_params(labelbottom=layer + columns >= layers)
    _colour_bar(figure, axes[0, 0].images[0], axes, "mean attention weight", shrink=0.8)
    figure.supxlabel("attended query (key)", fontsize=8)
    figure.supylabel("query", fontsize=8)
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def draw_skeleton_attention(
    attention: np.ndarray, positions: np.ndarray, pairs: Sequence[tuple[int, int]], names: Sequence[str], path: Path
) -> None:
    """A layer's attention between chosen pairs, as a graph on a skeleton beside the matrix (Figures 8 and 9).

    Args:
        attention: (K, K); row i is what query i attends to.
        positions: (K, 2), where the keypoints are drawn, (x, y) in pixels.
        pairs: The pairs: symmetric keypoints for Figure 8, linked ones for Figure 9.
        names: Names of the K keypoints.
        path: The image file.
    """
    figure = Figure(figsize=(2.2 * COLUMN, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    image = left.imshow(attention, cmap="viridis", vmin=0)
    left.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    left.set_yticks(range(len(names)), names, fontsize=6)
    left.set_xlabel("attended query (key)", fontsize=8)
    left.set_ylabel("query", fontsize=8)
    for first, second in pairs:
        for row, column in ((first, second), (second, first)):
            left.add_patch(_square(column, row))
    _colour_bar(figure, image, left, "mean attention weight", shrink=0.8)
    strongest = max((attention[i, j] + attention[j, i] for i, j in pairs), default=1.0)
    for first, second in pairs:
        strength = (attention[first, second] + attention[second, first]) / strongest
        ends = positions[[first, second]]
        right.plot(ends[:, 0], ends[:, 1], color=RED, linewidth=0.5 + 4.5 * strength, alpha=0.4 + 0.6 * strength)
    right.scatter(positions[:, 0], positions[:, 1], s=14, color=BLACK, zorder=3)
    right.set_title("width: attention in both directions", fontsize=8)
    right.set_aspect("equal")
    right.invert_yaxis()
    right.margins(0.15)
    right.axis("off")
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def _square(column: int, row: int) -> object:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=RED, linewidth=0.9)


def draw_sampling_points(
    image: np.ndarray, locations: np.ndarray, target: np.ndarray, labelled: np.ndarray, names: Sequence[str], path: Path
) -> None:
    """Sampling points of each keypoint's query, a panel for each; the annotation is circled (Figure 7).

    Args:
        image: (h, w, 3) uint8 RGB, the model's input.
        locations: (K, N, 2), sampling points, (x, y) in pixels of the input.
        target: (K, 2), annotated keypoints.
        labelled: (K,), whether a keypoint is annotated.
        names: Names of the K keypoints.
        path: The image file.
    """
    columns = min(6, len(names))
    figure, axes = _panels(image, len(names), columns)
    for index, axis in enumerate(axes):
        _show(axis, image, names[index])
        axis.scatter(*locations[index].T, s=3, color=RED, linewidths=0)
        if labelled[index]:
            _circle(axis, target[index], image)
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def draw_weighted_points(
    image: np.ndarray, locations: np.ndarray, weights: np.ndarray, target: np.ndarray | None, path: Path
) -> None:
    """Sampling points of one query, coloured by their attention weight, a panel for each level (Figures 11 and 12).

    Args:
        image: (h, w, 3) uint8 RGB, the model's input.
        locations: (heads, L, P, 2), (x, y) in pixels of the input.
        weights: (heads, L, P).
        target: (2,), the annotated keypoint, drawn as a cross; ``None`` if it is not annotated.
        path: The image file.
    """
    levels = locations.shape[1]
    figure, axes = _panels(image, levels, levels)
    for level, axis in enumerate(axes):
        _show(axis, image, f"level {level + 1} of {levels}")
        order = np.argsort(weights[:, level].reshape(-1))  # the largest on top
        places, values = locations[:, level].reshape(-1, 2)[order], weights[:, level].reshape(-1)[order]
        axis.scatter(*places.T, c=values, s=9, cmap="plasma", vmin=0, vmax=weights.max(), linewidths=0)
        if target is not None:
            axis.scatter(*target, marker="x", s=40, color=YELLOW, linewidths=1.6)
    _colour_bar(figure, axes[0].collections[0], axes, "attention weight", shrink=0.8)
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def draw_encoder_attention(
    image: np.ndarray, locations: np.ndarray, weights: np.ndarray, pixel: tuple[float, float], path: Path
) -> None:
    """Sampling points of a pixel in the encoder, coloured by their weight: layers in rows, levels in columns.

    Args:
        image: (h, w, 3) uint8 RGB, the model's input.
        locations: (N_E, heads, L, P, 2), (x, y) in pixels of the input.
        weights: (N_E, heads, L, P).
        pixel: The pixel, drawn as a cross.
        path: The image file.
    """
    layers, _, levels = weights.shape[:3]
    figure, axes = _panels(image, layers * levels, levels)
    for index, axis in enumerate(axes):
        layer, level = divmod(index, levels)
        _show(axis, image, f"layer {layer + 1}, level {level + 1}")
        axis.scatter(
            *locations[layer, :, level].reshape(-1, 2).T,
            c=weights[layer, :, level].reshape(-1),
            s=9,
            cmap="plasma",
            vmin=0,
            vmax=weights.max(),
            linewidths=0,
        )
        axis.scatter(*pixel, marker="x", s=40, color=YELLOW, linewidths=1.6)
    _colour_bar(figure, axes[0].collections[0], axes, "attention weight", shrink=0.8)
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def draw_qualitative(
    images: Sequence[np.ndarray],
    keypoints: Sequence[np.ndarray],
    links: Sequence[tuple[int, int]],
    lower_body: Sequence[int],
    path: Path,
) -> None:
    """Predicted skeletons, upper body green and lower body blue (Figure 10).

    Args:
        images: Each (h, w, 3) uint8 RGB.
        keypoints: For each image (K, 2), (x, y) in pixels.
        links: Pairs of keypoints that are linked.
        lower_body: Keypoints of the lower body; a link is blue if it ends in one of them.
        path: The image file.
    """
    figure, axes = _panels(images[0], len(images), min(6, len(images)))
    for axis, image, points in zip(axes, images, keypoints):
        _show(axis, image, "")
        for first, second in links:
            below = first in lower_body or second in lower_body
            axis.plot(*points[[first, second]].T, color=BLUE if below else GREEN, linewidth=1.6)
        colours = [BLUE if index in lower_body else GREEN for index in range(len(points))]
        axis.scatter(*points.T, s=8, c=colours, edgecolors="white", linewidths=0.4, zorder=3)
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def draw_refinement(
    image: np.ndarray,
    coordinates: np.ndarray,
    target: np.ndarray,
    labelled: np.ndarray,
    names: Sequence[str],
    path: Path,
) -> None:
    """The path y_0 .. y_{N_D} of each keypoint through the decoder, a panel for each; the annotation is circled.

    Args:
        image: (h, w, 3) uint8 RGB, the model's input.
        coordinates: (N_D + 1, K, 2), (x, y) in pixels of the input.
        target: (K, 2), annotated keypoints.
        labelled: (K,), whether a keypoint is annotated.
        names: Names of the K keypoints.
        path: The image file.
    """
    figure, axes = _panels(image, len(names), min(6, len(names)))
    layers = np.linspace(0, 1, len(coordinates))
    for index, axis in enumerate(axes):
        _show(axis, image, names[index])
        axis.plot(*coordinates[:, index].T, color="white", linewidth=0.8)
        axis.scatter(*coordinates[:, index].T, c=layers * (len(layers) - 1), cmap="plasma", s=9, linewidths=0, zorder=3)
        if labelled[index]:
            _circle(axis, target[index], image)
    _colour_bar(
        figure, axes[0].collections[0], axes, "decoder layer (0: y_0)", shrink=0.7, ticks=range(len(coordinates))
    )
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def draw_layer_errors(errors: np.ndarray, correct: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Error and PCK@0.2 after each decoder layer.

    Args:
        errors: (N_D + 1, K), mean distance in box sizes.
        correct: (N_D + 1,), PCK@0.2.
        names: Names of the K keypoints.
        path: The image file.
    """
    figure = Figure(figsize=(2.4 * COLUMN, 3.4), layout="constrained")
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
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.06)


def _colour_bar(figure: Figure, drawn: ScalarMappable, axes: Any, label: str, **options: Any) -> None:  # noqa: ANN401
    bar = figure.colorbar(drawn, ax=axes, **options)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _panels(image: np.ndarray, count: int, columns: int) -> tuple[Figure, list[Axes]]:
    rows = -(-count // columns)
    width = 1.25
    figure = Figure(
        figsize=(columns * width + 0.8, rows * (width * image.shape[0] / image.shape[1] + 0.22)), layout="constrained"
    )
    axes = np.atleast_1d(figure.subplots(rows, columns)).reshape(-1)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, list(axes[:count])


def _show(axis: Axes, image: np.ndarray, title: str) -> None:
    axis.imshow(image)
    axis.set_title(title, fontsize=7, pad=2)
    axis.set_xlim(-0.5, image.shape[1] - 0.5)  # points outside the input are cut off
    axis.set_ylim(image.shape[0] - 0.5, -0.5)
    axis.set_xticks([])
    axis.set_yticks([])


def _circle(axis: Axes, point: np.ndarray, image: np.ndarray) -> None:
    axis.scatter(*point, s=45, facecolors="none", edgecolors=YELLOW, linewidths=1.4, zorder=4)

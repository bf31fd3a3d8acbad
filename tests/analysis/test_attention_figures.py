from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from tfpose_mm.analysis import attention_figures as figures
from tfpose_mm.analysis.attention_figures import Panel
from tfpose_mm.analysis.figures import weighted_panels

K, LAYERS, HEADS, LEVELS, POINTS = 7, 2, 4, 3, 4
NAMES = [f"joint_{index}" for index in range(K)]
IMAGE = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
RNG = np.random.default_rng(1)


@pytest.fixture
def drawn(monkeypatch):
    """Figures, in place of files."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: kept.append(self))
    return kept


def scatters(axis):
    return [child for child in axis.get_children() if isinstance(child, PathCollection)]


def axes_of(figure):
    return [axis for axis in figure.axes if axis.get_visible() and axis.get_label() != "<colorbar>"]


def corners(axis, count):
    """Where the image of each panel begins: its pixels are those of the image."""
    canvas = np.asarray(axis.get_images()[0].get_array())
    windows = np.lib.stride_tricks.sliding_window_view(canvas, IMAGE.shape)[:, :, 0]
    tops, lefts = np.nonzero((windows == IMAGE).all((2, 3, 4)))
    assert len(tops) == count
    assert len(set(tops)) == -(-count // figures.COLUMNS)
    return np.column_stack([lefts, tops])


def test_query_attention(drawn):
    attention = RNG.dirichlet(np.ones(K), (LAYERS, K))
    figures.draw_query_attention(attention, NAMES, "unused")
    axes = axes_of(drawn[0])
    assert [axis.get_title() for axis in axes] == ["decoder layer 1", "decoder layer 2"]
    for axis, layer in zip(axes, attention):
        assert np.array_equal(axis.get_images()[0].get_array(), layer)
        assert axis.get_images()[0].get_clim() == (0, attention.max())  # one scale for all layers
    for labels in (axes[0].get_yticklabels(), axes[0].get_xticklabels()):
        assert [label.get_text() for label in labels] == NAMES


def test_each_panel_has_its_points_and_lines_on_its_image(drawn):
    """As in Figures 7 and 10; a keypoint that is not annotated has no circle."""
    locations, target = RNG.uniform(-300, 300, (K, 16, 2)), RNG.uniform(0, 48, (K, 2))
    circles = [None if index == 2 else target[index] for index in range(K)]
    lines = [[(figures.GREEN, points[:2]), (figures.BLUE, points[1:3])] for points in locations]
    panels = [Panel(NAMES[k], IMAGE, locations[k], lines=lines[k], circle=circles[k]) for k in range(K)]
    figures.draw_panels(panels, "unused")
    (axis,) = axes_of(drawn[0])
    assert [text.get_text() for text in axis.texts] == NAMES
    drawings = iter(scatters(axis))
    for index, corner in enumerate(corners(axis, K)):
        points = next(drawings)
        np.testing.assert_allclose(points.get_offsets() - corner, locations[index])
        np.testing.assert_allclose(points.get_facecolor()[:, :3], [[0xD5 / 255, 0x5E / 255, 0]])
        x0, y0, x1, y1 = axis.transData.inverted().transform(points.get_clip_box().get_points()).ravel()
        np.testing.assert_allclose(sorted((x0, x1)), [corner[0] - 0.5, corner[0] + 47.5])
        np.testing.assert_allclose(sorted((y0, y1)), [corner[1] - 0.5, corner[1] + 63.5])
        assert abs(axis.texts[index].get_position()[0] - corner[0] - 24) <= 1
        if circles[index] is not None:
            np.testing.assert_allclose(next(drawings).get_offsets() - corner, target[index : index + 1])
        np.testing.assert_allclose(axis.lines[2 * index + 1].get_xydata() - corner, locations[index, 1:3])
    assert not list(drawings)
    assert [line.get_color() for line in axis.lines] == [figures.GREEN, figures.BLUE] * K
    height, width = axis.get_images()[0].get_array().shape[:2]  # points outside do not move the images
    assert (axis.get_xlim(), axis.get_ylim()) == ((-0.5, width - 0.5), (height - 0.5, -0.5))


def test_weighted_points(drawn):
    locations = RNG.uniform(0, 48, (HEADS, LEVELS, POINTS, 2))
    weights = RNG.dirichlet(np.ones(LEVELS * POINTS), HEADS).reshape(HEADS, LEVELS, POINTS)
    panels = weighted_panels(IMAGE, locations, weights, np.array([3.0, 5.0]))
    figures.draw_panels(panels, "unused", bar="attention weight")
    axis, bar = drawn[0].axes
    assert bar.get_ylabel() == "attention weight"
    assert [text.get_text() for text in axis.texts] == ["level 1", "level 2", "level 3"]
    for level, corner in enumerate(corners(axis, LEVELS)):
        points, cross = scatters(axis)[2 * level : 2 * level + 2]
        assert sorted(points.get_array()) == sorted(weights[:, level].reshape(-1))
        for place, value in zip(points.get_offsets() - corner, points.get_array()):
            head, point = np.argwhere(weights[:, level] == value)[0]
            np.testing.assert_allclose(place, locations[head, level, point])
        np.testing.assert_allclose(cross.get_offsets() - corner, [[3, 5]])
        assert points.get_clim() == (0, weights.max())


def test_skeleton(drawn):
    attention, positions = RNG.dirichlet(np.ones(K), K), RNG.uniform(0, 48, (K, 2))
    figures.draw_skeleton_attention(attention, positions, [(1, 2), (3, 4)], NAMES, "unused")
    matrix, skeleton = axes_of(drawn[0])
    assert np.array_equal(matrix.get_images()[0].get_array(), attention)
    assert len(matrix.patches) == 4
    np.testing.assert_allclose(scatters(skeleton)[0].get_offsets(), positions)
    widths = [line.get_linewidth() for line in skeleton.lines]
    strengths = [attention[i, j] + attention[j, i] for i, j in ((1, 2), (3, 4))]
    assert (widths[0] > widths[1]) == (strengths[0] > strengths[1])
    np.testing.assert_allclose(skeleton.lines[0].get_xydata(), positions[[1, 2]])


def test_layer_errors(drawn):
    errors, correct = RNG.uniform(size=(LAYERS + 1, K)), np.array([0.1, 0.5, 0.8])
    errors[:, 3] = np.nan  # never annotated
    figures.draw_layer_errors(errors, correct, NAMES, "unused")
    left, right = axes_of(drawn[0])
    assert left.lines[0].get_ydata().tolist() == correct.tolist()
    mean = next(line for line in right.lines if line.get_label() == "mean")
    np.testing.assert_allclose(mean.get_ydata(), np.nanmean(errors, 1))

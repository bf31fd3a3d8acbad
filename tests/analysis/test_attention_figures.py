"""The figures show the recorded values: their number, their positions and their colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from tfpose_mm.analysis import attention_figures as figures

K, LAYERS, HEADS, LEVELS, POINTS = 7, 2, 4, 3, 4
NAMES = [f"joint_{index}" for index in range(K)]
IMAGE = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)


@pytest.fixture
def drawn(monkeypatch):
    """Figures, in place of files."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **options: kept.append(self))
    return kept


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def scatters(axis):
    return [child for child in axis.get_children() if isinstance(child, PathCollection)]


def panels(figure):
    return [axis for axis in figure.axes if axis.get_visible() and axis.get_label() != "<colorbar>"]


def test_query_attention(drawn, rng):
    attention = rng.dirichlet(np.ones(K), (LAYERS, K))
    figures.draw_query_attention(attention, NAMES, "unused")
    axes = panels(drawn[0])
    assert [axis.get_title() for axis in axes] == ["decoder layer 1", "decoder layer 2"]
    for axis, layer in zip(axes, attention):
        assert np.array_equal(axis.get_images()[0].get_array(), layer)
        assert axis.get_images()[0].get_clim() == (0, attention.max())  # one scale for all layers

    for labels in (axes[0].get_yticklabels(), axes[0].get_xticklabels()):
        assert [label.get_text() for label in labels] == NAMES


def test_sampling_points(drawn, rng):
    locations, target = rng.uniform(0, 48, (K, 16, 2)), rng.uniform(0, 48, (K, 2))
    labelled = np.arange(K) != 2
    figures.draw_sampling_points(IMAGE, locations, target, labelled, NAMES, "unused")
    axes = panels(drawn[0])
    assert [axis.get_title() for axis in axes] == NAMES
    for index, axis in enumerate(axes):
        points, *circle = scatters(axis)
        np.testing.assert_allclose(points.get_offsets(), locations[index])
        assert len(circle) == labelled[index]
        if circle:
            np.testing.assert_allclose(circle[0].get_offsets(), target[index : index + 1])
        assert np.array_equal(axis.get_images()[0].get_array(), IMAGE)


def test_weighted_points(drawn, rng):
    locations = rng.uniform(0, 48, (HEADS, LEVELS, POINTS, 2))
    weights = rng.dirichlet(np.ones(LEVELS * POINTS), HEADS).reshape(HEADS, LEVELS, POINTS)
    figures.draw_weighted_points(IMAGE, locations, weights, np.array([3.0, 5.0]), "unused")
    axes = panels(drawn[0])
    assert len(axes) == LEVELS
    for level, axis in enumerate(axes):
        points, cross = scatters(axis)
        assert len(points.get_offsets()) == HEADS * POINTS
        assert sorted(points.get_array()) == sorted(weights[:, level].reshape(-1))
        for place, value in zip(points.get_offsets(), points.get_array()):
            head, point = np.argwhere(weights[:, level] == value)[0]
            np.testing.assert_allclose(place, locations[head, level, point])
        np.testing.assert_allclose(cross.get_offsets(), [[3, 5]])
        assert points.get_clim() == (0, weights.max())


def test_refinement(drawn, rng):
    coordinates, target = rng.uniform(0, 48, (LAYERS + 1, K, 2)), rng.uniform(0, 48, (K, 2))
    figures.draw_refinement(IMAGE, coordinates, target, np.ones(K, bool), NAMES, "unused")
    for index, axis in enumerate(panels(drawn[0])):
        points, circle = scatters(axis)
        np.testing.assert_allclose(points.get_offsets(), coordinates[:, index])
        assert points.get_array().tolist() == [0, 1, 2]
        np.testing.assert_allclose(circle.get_offsets(), target[index : index + 1])


def test_encoder_attention(drawn, rng):
    locations, weights = rng.uniform(0, 48, (LAYERS, HEADS, LEVELS, POINTS, 2)), rng.uniform(size=(LAYERS, HEADS, 3, 4))
    figures.draw_encoder_attention(IMAGE, locations, weights, (7, 9), "unused")
    axes = panels(drawn[0])
    assert len(axes) == LAYERS * LEVELS
    points, cross = scatters(axes[4])
    assert axes[4].get_title() == "layer 2, level 2"
    np.testing.assert_allclose(points.get_offsets(), locations[1, :, 1].reshape(-1, 2))
    np.testing.assert_allclose(cross.get_offsets(), [[7, 9]])


def test_skeleton(drawn, rng):
    attention, positions = rng.dirichlet(np.ones(K), K), rng.uniform(0, 48, (K, 2))
    figures.draw_skeleton_attention(attention, positions, [(1, 2), (3, 4)], NAMES, "unused")
    matrix, skeleton = panels(drawn[0])
    assert np.array_equal(matrix.get_images()[0].get_array(), attention)
    assert len(matrix.patches) == 4
    np.testing.assert_allclose(scatters(skeleton)[0].get_offsets(), positions)
    widths = [line.get_linewidth() for line in skeleton.lines]
    strengths = [attention[i, j] + attention[j, i] for i, j in ((1, 2), (3, 4))]
    assert (widths[0] > widths[1]) == (strengths[0] > strengths[1])
    np.testing.assert_allclose(skeleton.lines[0].get_xydata(), positions[[1, 2]])


def test_layer_errors(drawn, rng):
    errors, correct = rng.uniform(size=(LAYERS + 1, K)), np.array([0.1, 0.5, 0.8])
    errors[:, 3] = np.nan  # never annotated
    figures.draw_layer_errors(errors, correct, NAMES, "unused")
    left, right = panels(drawn[0])
    assert left.lines[0].get_ydata().tolist() == correct.tolist()
    mean = next(line for line in right.lines if line.get_label() == "mean")
    np.testing.assert_allclose(mean.get_ydata(), np.nanmean(errors, 1))


def test_qualitative_colours(drawn, rng):
    points = rng.uniform(0, 48, (K, 2))
    figures.draw_qualitative([IMAGE, IMAGE], [points, points + 1], [(0, 1), (1, 5)], [5, 6], "unused")
    axis = panels(drawn[0])[1]
    assert [line.get_color() for line in axis.lines] == [figures.GREEN, figures.BLUE]
    np.testing.assert_allclose(scatters(axis)[0].get_offsets(), points + 1)


def test_files_are_the_same_each_time(tmp_path, rng):
    attention = rng.dirichlet(np.ones(K), (LAYERS, K))
    for name in ("a.png", "b.png"):
        figures.draw_query_attention(attention, NAMES, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("count", [1, 5, 17, 30])
def test_any_number_of_keypoints(count, tmp_path, rng):
    """No label is cut off: the border of the picture is white."""
    names = [f"left_long_name_{index}" for index in range(count)]
    figures.draw_query_attention(rng.dirichlet(np.ones(count), (4, count)), names, tmp_path / "matrix.png")
    points = rng.uniform(0, 48, (count, 16, 2))
    figures.draw_sampling_points(IMAGE, points, points[:, 0], np.ones(count, bool), names, tmp_path / "points.png")
    for name in ("matrix.png", "points.png"):
        picture = cv2.imread(str(tmp_path / name))
        border = np.concatenate(
            [picture[:2].reshape(-1, 3), picture[-2:].reshape(-1, 3), picture[:, -2:].reshape(-1, 3)]
        )
        assert (border == 255).all(), name

"""The fixes for numpy 2: on numpy 1 the same calls work without them."""

from __future__ import annotations

import numpy as np
import pycocotools.mask
import pytest
import xtcocotools.mask
from mmpose.visualization import PoseLocalVisualizer

from tfpose_mm.host import numpy2 as compat

POLYGON = [[2.0, 1.0, 8.0, 1.0, 8.0, 5.0, 2.0, 5.0]]


def test_masks_are_those_of_pycocotools():
    runs = xtcocotools.mask.frPyObjects(POLYGON, 7, 11)
    merged = xtcocotools.mask.merge(runs)
    mask = xtcocotools.mask.decode(merged)
    assert mask.shape == (7, 11)
    assert np.array_equal(mask, pycocotools.mask.decode(pycocotools.mask.merge(runs)))
    assert xtcocotools.mask.area(merged) == mask.sum() == 24
    assert xtcocotools.mask.toBbox(merged).tolist() == [2, 1, 6, 4]
    assert xtcocotools.mask.iou([merged], [merged], [0]).tolist() == [[1.0]]


def test_a_bottom_up_mask_is_drawn():
    from mmpose.datasets.transforms import BottomupGetHeatmapMask

    mask = BottomupGetHeatmapMask()._segs_to_mask([POLYGON], (7, 11))
    assert mask.shape == (7, 11)
    assert mask.sum() == 24


@pytest.mark.parametrize("backend", ["opencv", "matplotlib"])
def test_keypoints_are_drawn_with_any_numpy(backend):
    visualizer = PoseLocalVisualizer(vis_backends=[], radius=2)
    visualizer.backend = backend
    visualizer.set_image(np.zeros((20, 30, 3), np.uint8))
    visualizer.draw_circles(np.array([10.0, 5.0]), np.array([2]), face_colors=(0, 255, 0), alpha=1.0)
    image = visualizer.get_image()
    assert image[5, 10, 1] > 240
    assert image[15, 25].sum() == 0


def test_fixes_apply_only_where_the_host_fails():
    """They were applied when tfpose_mm was imported: masks work now, and a second call changes nothing."""
    before = {name: getattr(xtcocotools.mask, name) for name in compat.MASK_FUNCTIONS}
    assert not compat.fix_masks()
    assert not compat.fix_circles()
    assert before == {name: getattr(xtcocotools.mask, name) for name in compat.MASK_FUNCTIONS}
    replaced = xtcocotools.mask.decode is pycocotools.mask.decode
    assert replaced == (int(np.__version__.split(".")[0]) >= 2)

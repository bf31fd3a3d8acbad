"""The fix for numpy 2.4: on older ones the same calls work without it."""

from __future__ import annotations

import numpy as np
import pytest
from mmpose.visualization import PoseLocalVisualizer

from tfpose_mm.host.numpy2 import fix_circles


@pytest.mark.parametrize("backend", ["opencv", "matplotlib"])
def test_keypoints_are_drawn_with_any_numpy(backend):
    fix_circles()  # a second call changes nothing
    visualizer = PoseLocalVisualizer(vis_backends=[], radius=2)
    visualizer.backend = backend
    visualizer.set_image(np.zeros((20, 30, 3), np.uint8))
    visualizer.draw_circles(np.array([10.0, 5.0]), np.array([2]), face_colors=(0, 255, 0), alpha=1.0)
    image = visualizer.get_image()
    assert image[5, 10, 1] > 240
    assert image[15, 25].sum() == 0

"""Fixes of the host packages for numpy 2. Each applies only where the host fails without it.

MMPose 1.3.2 and xtcocotools 1.14.3 are the last releases and were written for numpy 1.
"""

from __future__ import annotations

from functools import wraps

import numpy as np
import xtcocotools.mask
from mmpose.visualization.opencv_backend_visualizer import OpencvBackendVisualizer

from .requirements import parse_version

MASK_FUNCTIONS = ("iou", "merge", "frPyObjects", "encode", "decode", "area", "toBbox")


def fix_masks() -> bool:
    """Replace the functions of ``xtcocotools.mask`` by those of pycocotools, of which they are a copy.

    Built for numpy 2, they raise "module 'numpy' has no attribute 'NPY_OWNDATA'". MMPose needs them to draw masks for
    bottom-up training; the evaluation of keypoints does not.

    Returns:
        Whether it was necessary.
    """
    mask = xtcocotools.mask.encode(np.ones((2, 3), np.uint8, order="F"))
    try:
        xtcocotools.mask.decode(mask)
    except AttributeError:
        import pycocotools.mask  # comes with mmdet

        for name in MASK_FUNCTIONS:
            setattr(xtcocotools.mask, name, getattr(pycocotools.mask, name))
        return True
    return False


def fix_circles() -> bool:
    """Let MMPose draw keypoints with OpenCV: it converts an array with one radius to an int, which numpy 2.4 refuses.

    Returns:
        Whether it was necessary.
    """
    draw_circles = OpencvBackendVisualizer.draw_circles
    if parse_version(np.__version__) < (2, 4) or draw_circles.__module__ == __name__:
        return False

    @wraps(draw_circles, assigned=("__name__", "__doc__"))
    def draw(
        self: OpencvBackendVisualizer, center: np.ndarray, radius: np.ndarray, *args: object, **kwargs: object
    ) -> OpencvBackendVisualizer:
        if self.backend == "opencv":
            radius = np.ravel(radius)[0]
        return draw_circles(self, center, radius, *args, **kwargs)

    OpencvBackendVisualizer.draw_circles = draw
    return True


def fix_host() -> None:
    """Apply all fixes that this host needs."""
    fix_masks()
    fix_circles()

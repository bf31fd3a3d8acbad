"""A fix of MMPose 1.3.2, its last release, for numpy 2.4."""

from __future__ import annotations

from functools import wraps

import numpy as np
from mmpose.visualization.opencv_backend_visualizer import OpencvBackendVisualizer

from .requirements import parse_version


def fix_circles() -> None:
    """Let MMPose draw keypoints with OpenCV: it converts an array of one radius to an int, which numpy 2.4 refuses."""
    draw_circles = OpencvBackendVisualizer.draw_circles
    if parse_version(np.__version__) < (2, 4) or draw_circles.__module__ == __name__:
        return

    @wraps(draw_circles, assigned=("__name__", "__doc__"))
    def draw(
        self: OpencvBackendVisualizer, center: np.ndarray, radius: np.ndarray, *args: object, **kwargs: object
    ) -> OpencvBackendVisualizer:
        return draw_circles(self, center, np.ravel(radius)[0] if self.backend == "opencv" else radius, *args, **kwargs)

    OpencvBackendVisualizer.draw_circles = draw

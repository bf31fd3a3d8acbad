"""An image with a map of which body part each pixel shows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

Colour = tuple[float, ...]  # blue, green, red in 0..255

_SHIFT = 4  # OpenCV's fixed-point bits: drawing is exact to 1/16 pixel
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 16, endpoint=False)) for f in (np.cos, np.sin)], axis=1)

NOTHING = 0  # owner of background and clutter
OBJECT = 1  # owner of objects in front of people


class Canvas:
    """A BGR image (H, W, 3) uint8, which is changed in place, and ``owner`` (H, W) int32: what each pixel shows."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.owner = np.full(image.shape[:2], NOTHING, dtype=np.int32)

    def hull(
        self, points: ArrayLike, radii: ArrayLike, colour: Colour, owner: int | None = None, outline: bool = True
    ) -> None:
        """Fill the convex hull of discs: one point gives a disc, two give a limb, more give a torso.

        Args:
            points: Centres, (x, y) in pixels.
            radii: A radius for each point, or one for all, in pixels.
            colour: Fill colour.
            owner: New owner of the pixels; ``None`` does not change the owner.
            outline: Whether to draw a darker edge, which separates a limb from a torso of the same colour.
        """
        points = np.asarray(points, dtype=np.float64)[:, :2]
        radii = np.broadcast_to(np.asarray(radii, dtype=np.float64), len(points))
        rim = (points[:, None] + radii[:, None, None] * _CIRCLE).reshape(-1, 2)
        polygon = cv2.convexHull(np.round(rim * 2**_SHIFT).astype(np.int32))
        cv2.fillConvexPoly(self.image, polygon, colour, cv2.LINE_AA, _SHIFT)
        if outline:
            edge = tuple(0.6 * channel for channel in colour)
            cv2.polylines(self.image, [polygon], True, edge, 1, cv2.LINE_AA, _SHIFT)
        if owner is not None:
            cv2.fillConvexPoly(self.owner, polygon, owner, cv2.LINE_8, _SHIFT)

    def line(self, points: ArrayLike, colour: Colour, thickness: float) -> None:
        """Draw an open line through (x, y), at least 1 pixel thick; the owner of its pixels does not change."""
        path = np.round(np.asarray(points, dtype=np.float64)[:, :2] * 2**_SHIFT).astype(np.int32)
        cv2.polylines(self.image, [path], False, colour, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)

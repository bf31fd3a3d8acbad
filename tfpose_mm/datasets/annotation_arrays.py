"""Numbers of annotations as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from .annotation_structure import LIMIT


class Rows(NamedTuple):
    """Numbers of N annotations.

    Attributes:
        index: (N,), indices in the file.
        box: (N, 4), x, y, width, height in pixels.
        points: (N, K, 2), (x, y) in pixels.
        visibility: (N, K).
        area: (N,), NaN where there is none.
        has_area: (N,), whether there is an area.
        declared: (N,), the value of num_keypoints, -1 where there is none.
        crowd: (N,), whether the annotation is a crowd.
        size: (N, 2), width and height of the image in pixels.
        image_id: (N,).
    """

    index: np.ndarray
    box: np.ndarray
    points: np.ndarray
    visibility: np.ndarray
    area: np.ndarray
    has_area: np.ndarray
    declared: np.ndarray
    crowd: np.ndarray
    size: np.ndarray
    image_id: np.ndarray

    def where(self, mask: np.ndarray) -> Rows:
        """The rows of a mask (N,)."""
        return Rows(*(values[mask] for values in self))

    @property
    def labelled(self) -> np.ndarray:
        """Whether each keypoint is labelled: (N, K)."""
        return self.visibility > 0

    def span(self, keypoints: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Width and height of the labelled keypoints, or of some of them, in pixels: (N, 2); -inf without any."""
        points, labelled = self.points[:, keypoints], self.labelled[:, keypoints, None]
        highest = np.where(labelled, points, -np.inf).max(1)
        return highest - np.where(labelled, points, np.inf).min(1)


def to_arrays(
    rows: list[dict[str, Any]], indices: list[int], sizes: dict[int, tuple[float, float]], num_keypoints: int
) -> Rows:
    """Convert annotations without structural faults; ``sizes`` has (width, height) of each image by its id."""
    chosen = [rows[index] for index in indices]
    count = len(chosen)
    keypoints = _floats(chain.from_iterable(row["keypoints"] for row in chosen), count * num_keypoints * 3)
    keypoints = keypoints.reshape(count, num_keypoints, 3)
    return Rows(
        index=np.array(indices, dtype=np.int64),
        box=_floats(chain.from_iterable(row["bbox"] for row in chosen), count * 4).reshape(count, 4),
        points=keypoints[..., :2],
        visibility=keypoints[..., 2],
        area=_floats((row.get("area", np.nan) for row in chosen), count),
        has_area=np.fromiter(("area" in row for row in chosen), dtype=bool, count=count),
        declared=np.fromiter((row.get("num_keypoints", -1) for row in chosen), dtype=np.int64, count=count),
        crowd=np.fromiter((row.get("iscrowd", 0) for row in chosen), dtype=np.int64, count=count) == 1,
        size=_floats(chain.from_iterable(sizes[row["image_id"]] for row in chosen), count * 2).reshape(count, 2),
        image_id=np.fromiter((row["image_id"] for row in chosen), dtype=np.int64, count=count),
    )


def _floats(values: Iterable[float], count: int) -> np.ndarray:
    values = list(values)
    try:
        return np.fromiter(values, dtype=np.float64, count=count)
    except OverflowError:  # an integer of more than 308 digits
        return np.array([value if abs(value) <= LIMIT else np.inf for value in values], dtype=np.float64)

"""Annotations and keypoints as arrays, for the checks that need many instances."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..config_data import keypoint_names


class Keypoints(NamedTuple):
    """What a metainfo says about K keypoints.

    Attributes:
        names: The K names.
        flip: (K,), index of the keypoint on the other side; its own index for a keypoint without a partner.
        links: Pairs of linked keypoints, by index.
        sigmas: The OKS sigmas, empty if the metainfo has none.
    """

    names: list[str]
    flip: np.ndarray
    links: list[tuple[int, int]]
    sigmas: list[float]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The flip pairs, by index, the lower index first."""
        return [(index, int(partner)) for index, partner in enumerate(self.flip) if index < partner]

    def pair_name(self, pair: tuple[int, int]) -> str:
        """Name a flip pair, as ``left_hip/right_hip``."""
        return f"{self.names[pair[0]]}/{self.names[pair[1]]}"


def read_keypoints(metainfo: dict) -> Keypoints:
    """Read MMPose's parsed metainfo."""
    return Keypoints(
        keypoint_names(metainfo),
        np.array(metainfo["flip_indices"], dtype=np.int64),
        [(int(start), int(end)) for start, end in metainfo["skeleton_links"]],
        [float(sigma) for sigma in metainfo["sigmas"]],
    )


class Instances(NamedTuple):
    """N annotated instances with K keypoints.

    Attributes:
        rows: (N,), indices in ``annotations`` of the file.
        points: (N, K, 2), (x, y) in pixels.
        visibility: (N, K).
        boxes: (N, 4), x, y, width, height in pixels.
        sizes: (N, 2), width and height of the image in pixels, by the file.
    """

    rows: np.ndarray
    points: np.ndarray
    visibility: np.ndarray
    boxes: np.ndarray
    sizes: np.ndarray

    def where(self, mask: np.ndarray) -> Instances:
        """The instances of a mask (N,)."""
        return Instances(*(values[mask] for values in self))

    @property
    def labelled(self) -> np.ndarray:
        """Whether each keypoint has a label: (N, K)."""
        return self.visibility > 0

    @property
    def scale(self) -> np.ndarray:
        """Square root of the area of the box, in pixels: (N,)."""
        return np.sqrt(self.boxes[:, 2] * self.boxes[:, 3])


def read_instances(content: dict[str, Any], num_keypoints: int) -> Instances:
    """Read the rows that have numbers where numbers are expected; other checks report the rest.

    Args:
        content: Content of a file in COCO's format.
        num_keypoints: K.

    Returns:
        The instances that have labelled keypoints and are not crowds.
    """
    sizes = {}
    for image in _objects(content.get("images")):
        size = _numbers([image.get("width"), image.get("height")], 2)
        if size is not None and isinstance(image.get("id"), int):
            sizes[image["id"]] = size
    kept: list[tuple] = []
    for row, annotation in _objects_with_index(content.get("annotations")):
        keypoints = _numbers(annotation.get("keypoints"), 3 * num_keypoints)
        box, number = _numbers(annotation.get("bbox"), 4), annotation.get("image_id")
        if keypoints is None or box is None or not isinstance(number, int) or number not in sizes:
            continue
        keypoints = keypoints.reshape(num_keypoints, 3)
        if annotation.get("iscrowd") != 1 and (keypoints[:, 2] > 0).any() and (box[2:] > 0).all():
            kept.append((row, keypoints[:, :2], keypoints[:, 2], box, sizes[number]))
    shapes = ((), (num_keypoints, 2), (num_keypoints,), (4,), (2,))
    columns = list(zip(*kept)) or [()] * len(shapes)
    arrays = [np.array(values, dtype=np.float64).reshape(-1, *shape) for values, shape in zip(columns, shapes)]
    return Instances(arrays[0].astype(np.int64), *arrays[1:])


def _objects_with_index(values: object) -> list[tuple[int, dict]]:
    values = values if isinstance(values, list) else []
    return [(index, value) for index, value in enumerate(values) if isinstance(value, dict)]


def _objects(values: object) -> list[dict]:
    return [value for _, value in _objects_with_index(values)]


def _numbers(values: object, length: int) -> np.ndarray | None:
    if not isinstance(values, list) or len(values) != length:
        return None
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return array if array.shape == (length,) and np.isfinite(array).all() else None

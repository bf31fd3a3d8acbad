"""Batches of annotated persons, for records of attention and the diagnosis of the decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import Tensor, nn

from ..datasets.config_data import labelled_keypoints


class AnnotatedBatch(NamedTuple):
    """B persons with K keypoints.

    Attributes:
        numbers: B numbers of the persons in the data set, from 0.
        inputs: (B, 3, h, w), normalised, on the model's device.
        images: Each (h, w, 3) uint8 RGB, the model's input.
        targets: (B, K, 2), annotated (x, y) in pixels of the input; the centre of the first pixel is 0.
        labelled: (B, K) bool, whether a keypoint is annotated.
        sizes: (B,), the longer side of each person's box in pixels of the input.
    """

    numbers: Sequence[int]
    inputs: Tensor
    images: list[np.ndarray]
    targets: np.ndarray
    labelled: np.ndarray
    sizes: np.ndarray

    @property
    def input_size(self) -> np.ndarray:
        """Width and height of the input in pixels."""
        return np.array(self.inputs.shape[:1:-1])

    def relative_distance(self, coordinates: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        """Distance from the annotations in longer sides of the box.

        Args:
            coordinates: (..., B, K, 2), (x, y) in [0, 1], label units.
            targets: Other target positions, (B, K, 2), (x, y) in pixels of the input, for example the left or right
                counterparts; infinite where there is none. ``None`` takes the annotations.

        Returns:
            (..., B, K); NaN for keypoints that are not annotated.
        """
        points = coordinates * (self.input_size - 1)
        distance = np.linalg.norm(points - (self.targets if targets is None else targets), axis=-1)
        return np.where(self.labelled, distance / self.sizes[:, None], np.nan)


def annotated_batches(
    model: nn.Module, data: BaseDataset, numbers: Sequence[int], batch_size: int
) -> Iterator[AnnotatedBatch]:
    """Yield batches of persons.

    Args:
        model: A top-down estimator, whose preprocessor is used.
        data: The data set.
        numbers: Numbers of the persons.
        batch_size: Number of persons in a batch.

    Yields:
        The batches.
    """
    for start in range(0, len(numbers), batch_size):
        part = numbers[start : start + batch_size]
        packed = [data[number] for number in part]
        batch = model.data_preprocessor(pseudo_collate(packed))
        size = np.array(batch["inputs"].shape[:1:-1])
        targets, labelled, sizes = [], [], []
        for sample in batch["data_samples"]:
            annotated = sample.gt_instances
            corner = sample.input_center - 0.5 * sample.input_scale
            # UDP maps the centres of the first and the last pixel of the box to those of the input
            targets.append((annotated.keypoints[0] - corner) / sample.input_scale * (size - 1))
            labelled.append(labelled_keypoints(annotated))
            box = annotated.bboxes[0]
            sizes.append(((box[2:] - box[:2]) * size / sample.input_scale).max())
        images = [np.ascontiguousarray(entry["inputs"].numpy().transpose(1, 2, 0)[..., ::-1]) for entry in packed]
        yield AnnotatedBatch(part, batch["inputs"], images, np.array(targets), np.array(labelled), np.array(sizes))

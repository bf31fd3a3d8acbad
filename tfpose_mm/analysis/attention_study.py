"""Record the attention of a trained TFPose over a data set, and how each decoder layer refines the keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from ..datasets.config_data import build_annotated_data
from ..engine import load_model
from ..errors import UserError
from ..models.heads import is_tfpose_head
from ..models.layers import TransformerRecords
from .annotated_batches import AnnotatedBatch, annotated_batches


@dataclass
class InstanceRecord:
    """Recorded attention and coordinates of one person.

    Attributes:
        image: (h, w, 3) uint8 RGB, the model's input.
        target: (K, 2), annotated keypoints (x, y) in pixels of the input; the centre of the first pixel is 0.
        labelled: (K,), whether a keypoint is annotated.
        coordinates: (N_D + 1, K, 2), y_0 .. y_{N_D} in pixels of the input.
        locations: (N_D, K, heads, L, P, 2), sampling points of pixel-to-query attention in pixels of the input.
        weights: (N_D, K, heads, L, P), their attention weights; they sum to 1 over L and P.
        query_attention: (N_D, K, K), mean over the heads; row i is what query i attends to. ``None`` without it.
        encoder_locations: (N_E, heads, L, P, 2), sampling points of pixel-to-pixel attention of the chosen pixel, in
            pixels of the input. ``None`` if no pixel was chosen or the model has no encoder.
        encoder_weights: (N_E, heads, L, P), their attention weights.
    """

    image: np.ndarray
    target: np.ndarray
    labelled: np.ndarray
    coordinates: np.ndarray
    locations: np.ndarray
    weights: np.ndarray
    query_attention: np.ndarray | None
    encoder_locations: np.ndarray | None = None
    encoder_weights: np.ndarray | None = None


@dataclass
class AttentionStudy:
    """Attention and errors of a model over a data set.

    Attributes:
        metainfo: MMPose's metainfo of the keypoints.
        query_attention: (N_D, K, K), mean over heads and persons; row i is what query i attends to. ``None`` if the
            model has no query-to-query attention.
        errors: (N_D + 1, K), mean distance from the annotation after each layer, in box sizes: the longer side of the
            person's box is 1. NaN for a keypoint that is never annotated.
        correct: (N_D + 1,), PCK@0.2 after each layer: fraction of keypoints whose error is below 0.2.
        persons: Number of persons.
        instances: Records of the chosen persons.
        examples: Records of the first persons of the data set.
    """

    metainfo: dict
    query_attention: np.ndarray | None
    errors: np.ndarray
    correct: np.ndarray
    persons: int
    instances: list[InstanceRecord]
    examples: list[InstanceRecord]


def study_attention(
    cfg: Config,
    checkpoint: str | Path,
    chosen: Sequence[int] = (0,),
    examples: int = 0,
    limit: int | None = None,
    pixel: tuple[float, float] | None = None,
    batch_size: int = 8,
    device: str = "cpu",
) -> AttentionStudy:
    """Run a TFPose over its config's test data, without the flip test, and record its attention.

    Args:
        cfg: Config of a top-down estimator with a ``TFPoseHead``, and with annotated test data.
        checkpoint: Its weights.
        chosen: Numbers of the persons in the data set, from 0, whose records are returned.
        examples: Number of persons, from the first, whose records are returned, too.
        limit: Number of persons for the means; ``None`` takes all. The chosen persons and the examples are always
            included.
        pixel: (x, y) of the model's input, whose encoder attention is recorded; ``None`` records none.
        batch_size: Number of persons in a batch.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.

    Returns:
        The means, and the records of the chosen persons in the given order.

    Raises:
        UserError: If the head is another one, a chosen person does not exist, the pixel is outside the input, or the
            checkpoint does not fit.
    """
    if not is_tfpose_head(cfg.model.head):
        raise UserError(
            f"Recording attention needs a TFPoseHead, but the config has a {cfg.model.head.type}: use another."
        )
    data = build_annotated_data(cfg)
    wrong = [number for number in chosen if not 0 <= number < len(data)]
    if wrong:
        raise UserError(f"The person number must be between 0 and {len(data) - 1}, but is {wrong[0]}: choose another.")
    model = load_model(cfg.model, checkpoint, device)

    first = range(min(examples, len(data)))
    numbers = [*range(len(data) if limit is None else min(limit, len(data)))]
    numbers += sorted({*chosen, *first} - {*numbers})
    sums, found = _Sums(), {}
    for batch in annotated_batches(model, data, numbers, batch_size):
        coordinates, records = _record(model, batch, pixel)
        sums.add(batch, coordinates, records)
        for number, record in zip(batch.numbers, records):
            if number in chosen or number in first:
                found[number] = record
    return AttentionStudy(data.metainfo, *sums.means(), [found[n] for n in chosen], [found[n] for n in first])


class _Sums:
    """Means over a data set."""

    def __init__(self) -> None:
        self.persons = 0
        self.attention: np.ndarray | None = None
        self.errors: list[np.ndarray] = []

    def add(self, batch: AnnotatedBatch, coordinates: np.ndarray, records: Sequence[InstanceRecord]) -> None:
        """Add a batch with its coordinates (N_D + 1, B, K, 2) in label units."""
        self.persons += len(records)
        self.errors += list(batch.relative_distance(coordinates).swapaxes(0, 1))
        for record in records:
            if record.query_attention is not None:
                self.attention = record.query_attention + (0 if self.attention is None else self.attention)

    def means(self) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, int]:
        """Mean attention, error by layer and keypoint, PCK@0.2 by layer, number of persons."""
        errors = np.array(self.errors)
        counts = (~np.isnan(errors)).sum(0)
        mean = np.where(counts > 0, np.nansum(errors, 0) / np.maximum(counts, 1), np.nan)
        correct = (np.nan_to_num(errors, nan=np.inf) < 0.2).sum((0, 2)) / counts.sum(1)
        attention = None if self.attention is None else self.attention / self.persons
        return attention, mean, correct, self.persons


@torch.no_grad()
def _record(
    model: nn.Module, batch: AnnotatedBatch, pixel: tuple[float, float] | None
) -> tuple[np.ndarray, list[InstanceRecord]]:
    """y_0 .. y_{N_D} of a batch, (N_D + 1, B, K, 2) in label units, and a record for each person."""
    feats, encoder = model.backbone(batch.inputs), None
    if pixel is not None and model.with_neck and hasattr(model.neck, "forward_with_records"):
        feats, encoder = model.neck.forward_with_records(feats)
    elif model.with_neck:
        feats = model.neck(feats)
    _, records = model.head.forward_with_records(feats)
    size = batch.input_size
    if pixel is not None and not ((np.array(pixel) >= 0) & (np.array(pixel) < size)).all():
        raise UserError(f"The pixel must be inside the input of {size[0]} x {size[1]}, but is {pixel}: choose another.")
    coordinates = records.coordinates.cpu().numpy()
    locations = np.stack([_numpy(layer.sampling_locations) for layer in records.layers])  # (N_D, B, ...)
    weights = np.stack([_numpy(layer.attention_weights) for layer in records.layers])
    queries = [_numpy(layer.query_attention) for layer in records.layers if layer.query_attention is not None]
    pixels = _encoder_attention(encoder, pixel, size) if pixel is not None and encoder and encoder.layers else None
    results = [
        InstanceRecord(
            image,
            batch.targets[index],
            batch.labelled[index],
            coordinates[:, index] * (size - 1),
            # (0, 0) and (1, 1) are the outer corners of the first and last pixel
            locations[:, index] * size - 0.5,
            weights[:, index],
            np.stack([layer[index].mean(0) for layer in queries]) if queries else None,
            *((None, None) if pixels is None else (pixels[0][:, index], pixels[1][:, index])),
        )
        for index, image in enumerate(batch.images)
    ]
    return coordinates, results


def _encoder_attention(
    records: TransformerRecords, pixel: tuple[float, float], size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sampling points and weights of the token of the finest level at a pixel: (N_E, B, heads, L, P[, 2])."""
    height, width = records.spatial_shapes[0]
    column, row = (np.array(pixel) + 0.5) * (width, height) // size
    token = int(row) * width + int(column)
    locations = np.stack([_numpy(layer.sampling_locations[:, token]) for layer in records.layers])
    weights = np.stack([_numpy(layer.attention_weights[:, token]) for layer in records.layers])
    return locations * size - 0.5, weights


def _numpy(value: torch.Tensor) -> np.ndarray:
    return value.float().cpu().numpy()

"""Where the decoder of a trained TFPose loses accuracy: layer by layer, and against its auxiliary heat maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmpose.codecs import UDPHeatmap
from torch import Tensor, nn

from ..datasets.config_data import build_annotated_data, need_annotations
from ..engine import load_model
from ..engine.running import need_device
from ..errors import UserError
from ..models.heads import is_tfpose_head
from ..models.layers import maps_to_tokens
from .annotated_batches import AnnotatedBatch, annotated_batches

THRESHOLDS = (0.2, 0.1, 0.05)  # of PCK, in longer sides of the box


@dataclass
class Diagnosis:
    """PCK of N annotated keypoints for the three :data:`THRESHOLDS`, without the flip test.

    Attributes:
        keypoints: N.
        layers: (N_D + 1, 3), PCK of y_0 .. y_{N_D}.
        heatmaps: (3,), PCK of the maxima of the auxiliary heat maps; ``None`` without the auxiliary branch.
        from_heatmaps: (N_D + 1, 3), PCK of the decoder's layers if y_0 is these maxima.
        only_heatmap: Fraction of all N keypoints for which only the heat map has an error below 0.2 of the longer side
            of the box.
        only_decoder: The same for the decoder.
        mirrored: Fraction of the ``only_heatmap`` keypoints whose decoder prediction is within 0.2 of the annotated
            left or right counterpart. A counterpart that is not annotated does not count. 0 without such keypoints.
    """

    keypoints: int
    layers: np.ndarray
    heatmaps: np.ndarray | None = None
    from_heatmaps: np.ndarray | None = None
    only_heatmap: float | None = None
    only_decoder: float | None = None
    mirrored: float | None = None


def diagnose(
    cfg: Config, checkpoint: str | Path, limit: int | None = None, batch_size: int = 8, device: str = "cpu"
) -> Diagnosis:
    """Measure the decoder of a trained TFPose on the annotated test data of its config.

    Args:
        cfg: Config with a ``TFPoseHead``.
        checkpoint: Its weights.
        limit: Number of persons; ``None`` takes all.
        batch_size: Number of persons in a batch.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.

    Returns:
        The diagnosis.

    Raises:
        UserError: If the head is not a ``TFPoseHead``; if annotations, checkpoint or device are missing; if the
            checkpoint does not fit.
    """
    if not is_tfpose_head(cfg.model.head):
        raise UserError(f"The diagnosis needs a TFPoseHead, but the config has a {cfg.model.head.type}: use another.")
    need_device(device)
    need_annotations(cfg)
    data = build_annotated_data(cfg)
    model = load_model(cfg.model, checkpoint, device)
    codec = model.head.decoder.heatmap_codec if model.head.aux_branch is not None else None
    numbers = range(len(data) if limit is None else min(limit, len(data)))
    flip = list(data.metainfo["flip_indices"])
    parts = [_measure(model, batch, codec, flip) for batch in annotated_batches(model, data, numbers, batch_size)]
    distances = {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}
    keypoints = distances["layers"].shape[-1]
    result = Diagnosis(keypoints, _pck(distances["layers"]))
    if codec is not None:
        result.heatmaps, result.from_heatmaps = _pck(distances["heatmaps"]), _pck(distances["from_heatmaps"])
        decoder, heatmap = distances["layers"][-1] < 0.2, distances["heatmaps"] < 0.2
        missed = heatmap & ~decoder
        result.only_heatmap, result.only_decoder = float(missed.mean()), float((decoder & ~heatmap).mean())
        result.mirrored = float((distances["mirrored"][missed] < 0.2).mean()) if missed.any() else 0.0
    return result


@torch.no_grad()
def _measure(
    model: nn.Module, batch: AnnotatedBatch, codec: UDPHeatmap | None, flip: list[int]
) -> dict[str, np.ndarray]:
    """Distances of the n annotated keypoints of a batch, (..., n)."""
    head = model.head
    maps = head.project(model.extract_feat(batch.inputs))
    memory, shapes = maps_to_tokens(maps)
    proposal = head.propose(memory, shapes)

    def layers(start: Tensor) -> np.ndarray:
        refined = head.refine(memory, shapes, proposal._replace(coordinates=start))
        return torch.cat([start[None], refined]).cpu().numpy()

    coordinates = layers(proposal.coordinates)
    found = dict(layers=batch.relative_distance(coordinates))
    if codec is not None:
        heatmaps = head.aux_branch(maps[-1:]).float().cpu().numpy()
        maxima = np.concatenate([codec.decode(one)[0] for one in heatmaps]) / np.array(codec.input_size)
        found["heatmaps"] = batch.relative_distance(maxima)
        found["from_heatmaps"] = batch.relative_distance(layers(torch.from_numpy(maxima).to(proposal.coordinates)))
        counterparts = np.where(batch.labelled[:, flip, None], batch.targets[:, flip], np.inf)
        counterparts = np.where((np.array(flip) == np.arange(len(flip)))[:, None], np.inf, counterparts)
        found["mirrored"] = batch.relative_distance(coordinates[-1], counterparts)
    return {name: values[..., batch.labelled] for name, values in found.items()}


def _pck(distances: np.ndarray) -> np.ndarray:
    """(..., n) to (..., 3)."""
    return np.stack([(distances < threshold).mean(-1) for threshold in THRESHOLDS], axis=-1)


def diagnosis_table(result: Diagnosis) -> list[list[str]]:
    """The PCK values as rows of a table.

    Args:
        result: The diagnosis.

    Returns:
        The header and the rows.
    """
    rows = [["coordinates", *(f"PCK@{threshold}" for threshold in THRESHOLDS)]]
    rows += [_row(f"y_{layer}", values) for layer, values in enumerate(result.layers)]
    if result.heatmaps is not None and result.from_heatmaps is not None:
        rows.append(_row("maxima of the auxiliary heat maps", result.heatmaps))
        rows += [
            _row(f"y_{layer} of the decoder that starts there", values)
            for layer, values in enumerate(result.from_heatmaps)
            if layer
        ]
    return rows


def _row(name: str, values: np.ndarray) -> list[str]:
    return [name, *(f"{value:.3f}" for value in values)]


def diagnosis_text(result: Diagnosis) -> str:
    """The comparison with the heat maps in sentences; empty without the auxiliary branch.

    Args:
        result: The diagnosis.

    Returns:
        The sentences.
    """
    if result.only_heatmap is None or result.only_decoder is None or result.mirrored is None:
        return ""
    return (
        "A keypoint is correct if its error is below 0.2 of the longer side of the box. For "
        f"{100 * result.only_heatmap:.1f} % of all annotated keypoints, only the heat map is correct. For "
        f"{100 * result.mirrored:.1f} % of these, the decoder predicts the left or right counterpart. For "
        f"{100 * result.only_decoder:.1f} % of all annotated keypoints, only the decoder is correct."
    )

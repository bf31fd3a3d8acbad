"""Feature maps to tokens and back, and the reference point of each token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...ops import SpatialShapes


def maps_to_tokens(maps: Sequence[Tensor]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Flatten a pyramid (B, C, h, w) to one token matrix (F_0 in TFPose, section 3.2).

    Returns:
        Tokens (B, N, C), level after level, rows first; and (h, w) of each level as Python integers.
    """
    tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
    return tokens, tuple((int(level.shape[-2]), int(level.shape[-1])) for level in maps)


def tokens_to_maps(tokens: Tensor, spatial_shapes: SpatialShapes) -> tuple[Tensor, ...]:
    """Undo :func:`maps_to_tokens`: (B, N, C) to (B, C, h, w) for each level."""
    levels = tokens.transpose(1, 2).split([h * w for h, w in spatial_shapes], dim=2)
    # not unflatten, which fixes the batch size in an exported ONNX model
    return tuple(level.reshape(*level.shape[:2], h, w) for level, (h, w) in zip(levels, spatial_shapes))


def encoder_reference_points(spatial_shapes: SpatialShapes, device: torch.device) -> Tensor:
    """The centre of each token's pixel: the reference points of the encoder.

    Returns:
        (1, N, 1, 2) float32, (x, y) in (0, 1): pixel (i, j) of a level is at ((j + 0.5) / w, (i + 0.5) / h). A centre
        has the same coordinates on every level, hence the 1.
    """
    centres = []
    for h, w in spatial_shapes:
        y, x = torch.meshgrid(
            (torch.arange(h, device=device, dtype=torch.float32) + 0.5) / h,
            (torch.arange(w, device=device, dtype=torch.float32) + 0.5) / w,
            indexing="ij",
        )
        centres.append(torch.stack([x, y], dim=-1).flatten(0, 1))
    return torch.cat(centres)[None, :, None]

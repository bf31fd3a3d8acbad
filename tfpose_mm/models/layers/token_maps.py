"""Feature maps to tokens and back, and where each token lies."""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor

from .compilation import constant_of_sizes, plain_sizes
from .deformable_attention import SpatialShapes


def maps_to_tokens(maps: Sequence[Tensor]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
    """Flatten a pyramid to one token matrix (F_0 in TFPose, section 3.2).

    Args:
        maps: (B, C, h, w) for each of the L levels.

    Returns:
        Tokens (B, N, C), level after level, rows first, N the sum of all h * w; and (h, w) of each level.
    """
    tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)
    return tokens, tuple((level.shape[-2], level.shape[-1]) for level in maps)


def tokens_to_maps(tokens: Tensor, spatial_shapes: SpatialShapes) -> tuple[Tensor, ...]:
    """Undo :func:`maps_to_tokens`.

    Args:
        tokens: (B, N, C).
        spatial_shapes: (h, w) of each level.

    Returns:
        (B, C, h, w) for each level.
    """
    levels = tokens.transpose(1, 2).split([h * w for h, w in spatial_shapes], dim=2)
    return tuple(level.reshape(*level.shape[:2], h, w) for level, (h, w) in zip(levels, spatial_shapes))


def token_centres(spatial_shapes: SpatialShapes, device: torch.device) -> Tensor:
    """Where each token's pixel has its centre: the encoder's reference points.

    Args:
        spatial_shapes: (h, w) of each level.
        device: Where the result lives.

    Returns:
        (1, N, 1, 2) float32, (x, y) in (0, 1): pixel (i, j) of a level is at ((j + 0.5) / w, (i + 0.5) / h). A centre
        has the same coordinates on every level, hence the 1.
    """
    return _cached_centres(plain_sizes(spatial_shapes), device)


@constant_of_sizes
def _cached_centres(shapes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    centres = []
    for h, w in shapes:
        y, x = torch.meshgrid(
            (torch.arange(h, device=device, dtype=torch.float32) + 0.5) / h,
            (torch.arange(w, device=device, dtype=torch.float32) + 0.5) / w,
            indexing="ij",
        )
        centres.append(torch.stack([x, y], dim=-1).flatten(0, 1))
    return torch.cat(centres)[None, :, None]

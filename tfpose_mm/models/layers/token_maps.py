"""Feature maps to tokens and back, and the position of each token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

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


def embed_token_positions(encoding: nn.Module, level_embed: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
    """Embed the position and the level of each token.

    Args:
        encoding: mmdet's ``SinePositionalEncoding``, from a mask (1, h, w) to (1, C, h, w).
        level_embed: (L, C).
        spatial_shapes: (h, w) of each level.

    Returns:
        (1, N, C), in the order of the tokens.
    """
    masks = [torch.zeros(1, h, w, dtype=torch.bool, device=level_embed.device) for h, w in spatial_shapes]
    maps = [encoding(mask) + level_embed[i][:, None, None] for i, mask in enumerate(masks)]
    return maps_to_tokens(maps)[0].to(level_embed.dtype)


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

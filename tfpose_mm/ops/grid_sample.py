"""Deformable attention in plain torch: for any device, for tracing, compiling and exporting."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def grid_sample_attention(
    value: Tensor, value_spatial_shapes: Sequence[Sequence[int]], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Deformable attention with ``grid_sample``.

    The computation is mmcv's ``multi_scale_deformable_attn_pytorch`` with the queries as the innermost dimension of the
    grid, which is longer than the points and therefore vectorises better.

    Args:
        value: (B, N, heads, C / heads), at least float32.
        value_spatial_shapes: (h, w) of each of the L levels.
        sampling_locations: (B, Q, heads, L, P, 2), (x, y) in [0, 1]; outside is zero.
        attention_weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, C).
    """
    batch, _, heads, dims = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    grids = (2 * sampling_locations - 1).permute(0, 2, 3, 4, 1, 5).to(value.dtype)  # (B, heads, L, P, Q, 2)
    weights = attention_weights.permute(0, 2, 3, 4, 1).to(value.dtype)  # (B, heads, L, P, Q)

    sums = []
    for level, values in enumerate(value.split([h * w for h, w in value_spatial_shapes], dim=1)):
        h, w = value_spatial_shapes[level]
        image = values.permute(0, 2, 3, 1).reshape(batch * heads, dims, h, w)
        grid = grids[:, :, level].reshape(batch * heads, points, queries, 2)
        sampled = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        weight = weights[:, :, level].reshape(batch * heads, 1, points, queries)
        sums.append((sampled * weight).sum(2))  # (B * heads, dims, Q)
    output = sums[0]
    for of_level in sums[1:]:  # torch.compile of torch 2.1 does not know sum() of tensors
        output = output + of_level
    return output.view(batch, heads * dims, queries).transpose(1, 2)

"""Multi-scale deformable attention: mmcv's module for any batch size, device and precision."""

from __future__ import annotations

import functools
import warnings
from typing import Sequence

import torch
import torch.nn.functional as F
from mmcv.ops import MultiScaleDeformableAttention, get_compiling_cuda_version
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

from .compilation import constant_of_sizes, infers_on_cpu, plain_sizes
from .cpu_attention import attend_by_gather, attend_then_project
from .linear import Linear, is_plain

SpatialShapes = Sequence[Sequence[int]]


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's ``MultiScaleDeformableAttention`` with its parameters and names, but without its traps.

    Differences:
        - any batch size on CUDA (mmcv's kernel asserts that ``im2col_step`` divides the batch);
        - bfloat16 on CUDA is computed in float32 (mmcv's kernel has no bfloat16);
        - on the CPU rows of the values are gathered and summed, which is many times faster than mmcv's ``grid_sample``,
          and in inference few queries project what they have summed, not all values first;
        - without the compiled CUDA kernel ``grid_sample`` runs with the queries innermost;
        - ``spatial_shapes`` are Python integers: nothing is read back from the device;
        - ``batch_first`` is always true.

    Source: Deformable DETR, eq. (3); TFPose, sections 3.2 ("p2p") and 3.3 ("p2q").

    Args:
        embed_dims: Channels C of queries and values.
        num_heads: Heads; they must divide C.
        num_levels: Levels L of the feature pyramid.
        num_points: Points P each head samples on each level.
        dropout: Dropout of the output, before the residual is added.

    Raises:
        ValueError: If the heads do not divide the channels.
    """

    def __init__(
        self, embed_dims: int, num_heads: int = 8, num_levels: int = 3, num_points: int = 4, dropout: float = 0.1
    ) -> None:
        super().__init__(
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_levels=num_levels,
            num_points=num_points,
            dropout=dropout,
            batch_first=True,
        )
        for name in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            setattr(self, name, Linear.like(getattr(self, name)))

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        query_pos: Tensor | None = None,
    ) -> Tensor:
        """Attend from every query to L * P points around its reference, and add the query.

        Args:
            query: (B, Q, C).
            value: (B, N, C), the tokens of all levels, one level after the other, rows first.
            reference_points: (B or 1, Q, L or 1, 2), (x, y) in [0, 1]; (0, 0) is the corner of a level's first pixel.
            spatial_shapes: (h, w) of each of the L levels.
            query_pos: (B or 1, Q, C), added to the query where offsets and weights are computed.

        Returns:
            (B, Q, C).
        """
        batch, num_queries, _ = query.shape
        located = query if query_pos is None else query + query_pos
        heads, levels, points = self.num_heads, self.num_levels, self.num_points

        offsets = self.sampling_offsets(located).view(batch, num_queries, heads, -1)  # (..., L * P * 2)
        weights = self.attention_weights(located).view(batch, num_queries, heads, levels * points)
        weights = _softmax(weights).view(batch, num_queries, heads, levels, points)
        # flat, because torch is slow where the last dimension of a broadcast is as short as 2
        sizes = _sampled_sizes(plain_sizes(spatial_shapes), points, query.device)
        reference = reference_points[:, :, None, :, None].expand(-1, -1, 1, levels, points, 2).flatten(3)
        locations = (reference + offsets / sizes).view(batch, num_queries, heads, levels, points, 2)

        if self.samples_few(num_queries, value):
            _check_shapes(value, spatial_shapes, locations)
            output = attend_then_project(value, self.value_proj, spatial_shapes, locations, weights)
        else:
            heads_of_value = self.value_proj(value).view(batch, value.shape[1], heads, -1)
            output = attend(heads_of_value, spatial_shapes, locations, weights)
        return self.dropout(self.output_proj(output)) + query

    def samples_few(self, queries: int, value: Tensor) -> bool:
        """Whether queries project what they have summed: in inference on the CPU, if that is half of the work or less.

        Args:
            queries: Their number Q.
            value: (B, N, C).

        Returns:
            Whether :meth:`forward` leaves the other values unprojected.
        """
        if not infers_on_cpu(value) or value.dtype is not torch.float32:
            return False
        samples = 4 * self.num_heads * self.num_levels * self.num_points
        less = 2 * queries * (samples + self.embed_dims) <= value.shape[1] * self.embed_dims
        plain = is_plain(self.value_proj, Linear) and self.value_proj.bias is not None
        return less and plain


def _softmax(logits: Tensor) -> Tensor:
    """Over the last dimension; on the CPU with the others innermost, which is ten times faster for a dozen points."""
    if logits.device.type != "cpu":
        return logits.softmax(-1)
    return logits.flatten(0, -2).t().softmax(0).t().view(logits.shape)


def attend(value: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Sample the values at the locations and sum them by weight (Deformable DETR, eq. 3).

    Args:
        value: (B, N, heads, C / heads).
        spatial_shapes: (h, w) of each of the L levels; their products sum to N.
        locations: (B, Q, heads, L, P, 2), (x, y) in [0, 1]; outside is zero.
        weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, C).

    Raises:
        ValueError: If the levels do not have as many pixels as there are values, or are not as many as those located.
    """
    _check_shapes(value, spatial_shapes, locations)
    if value.is_cuda and has_cuda_kernel():
        return _attend_with_kernel(value, spatial_shapes, locations, weights)
    if value.device.type == "cpu" and not torch.jit.is_tracing():  # what is traced is exported, or its FLOPs counted
        return attend_by_gather(value, spatial_shapes, locations, weights)
    return attend_by_grid_sample(value, spatial_shapes, locations, weights)


def _check_shapes(value: Tensor, spatial_shapes: SpatialShapes, locations: Tensor) -> None:
    pixels = sum(int(h) * int(w) for h, w in spatial_shapes)
    if pixels != value.shape[1] or len(spatial_shapes) != locations.shape[3]:
        raise ValueError(
            f"spatial_shapes {tuple(map(tuple, spatial_shapes))} have {pixels} pixels on {len(spatial_shapes)} levels, "
            f"but there are {value.shape[1]} values, and locations on {locations.shape[3]}: give each level's (h, w)."
        )


def attend_by_grid_sample(value: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """:func:`attend` in plain torch, for any device; half precision is computed in float32.

    The queries are innermost, which vectorises.
    """
    if value.dtype in (torch.float16, torch.bfloat16):
        return attend_by_grid_sample(value.float(), spatial_shapes, locations, weights).to(value.dtype)
    batch, _, heads, dims = value.shape
    _, num_queries, _, _, points, _ = locations.shape
    grids = (2 * locations - 1).permute(0, 2, 3, 4, 1, 5).to(value.dtype)  # (B, heads, L, P, Q, 2)
    weights = weights.permute(0, 2, 3, 4, 1).to(value.dtype)  # (B, heads, L, P, Q)
    values = value.split([h * w for h, w in spatial_shapes], dim=1)

    output = value.new_zeros(batch * heads, dims, num_queries)
    for level, (h, w) in enumerate(spatial_shapes):
        image = values[level].permute(0, 2, 3, 1).reshape(batch * heads, dims, h, w)
        grid = grids[:, :, level].reshape(batch * heads, points, num_queries, 2)
        sampled = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        weight = weights[:, :, level].reshape(batch * heads, 1, points, num_queries)
        output = output + (sampled * weight).sum(2)  # (B * heads, dims, Q)
    return output.view(batch, heads * dims, num_queries).transpose(1, 2)


def _attend_with_kernel(value: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """:func:`attend` with mmcv's CUDA kernel (float64, float32 and float16)."""
    dtype = value.dtype
    if dtype is torch.bfloat16:
        value = value.float()
    shapes, starts = _level_geometry(spatial_shapes, value.device)
    # The kernel walks through the batch in steps of min(batch, step), so a step of the whole batch fits any batch.
    output = MultiScaleDeformableAttnFunction.apply(
        value.contiguous(), shapes, starts, locations.contiguous(), weights.contiguous(), value.shape[0]
    )
    return output.to(dtype)


def _level_geometry(spatial_shapes: SpatialShapes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Level sizes (h, w) and first tokens as the kernel wants them: (L, 2) and (L,) int64, on the device."""
    return _cached_geometry(plain_sizes(spatial_shapes), device)


@constant_of_sizes
def _cached_geometry(spatial_shapes: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    shapes = torch.tensor(spatial_shapes, dtype=torch.long, device=device)
    starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    return shapes, starts


@constant_of_sizes
def _sampled_sizes(spatial_shapes: tuple[tuple[int, int], ...], points: int, device: torch.device) -> Tensor:
    """(w, h) of the level of each point, one after the other, (L * P * 2,) float32."""
    sizes = torch.tensor(spatial_shapes, dtype=torch.float32, device=device).flip(1)
    return sizes.repeat_interleave(points, 0).view(-1)


@functools.lru_cache(maxsize=1)
def has_cuda_kernel() -> bool:
    """Whether mmcv was built with CUDA; if not, warn once."""
    if get_compiling_cuda_version() != "not available":
        return True
    warnings.warn(
        "mmcv was built without CUDA, so deformable attention runs on grid_sample, several times slower: "
        "install a CUDA build with 'mim install mmcv==2.1.0'.",
        stacklevel=2,
    )
    return False

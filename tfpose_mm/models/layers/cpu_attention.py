"""Deformable attention on the CPU: a weighted sum of gathered rows, many times faster than ``grid_sample``."""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple, Sequence

import torch
import torch.nn.functional as F
from mmengine.utils import digit_version
from scipy.sparse import csr_matrix
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .compilation import TORCH, constant_of_sizes, infers_on_cpu, is_compiling, plain_sizes

CAN_SAMPLE = digit_version("2.0") <= TORCH  # sampled_addmm on the CPU
PIECE = 1 << 17  # samples whose indices and shares remain in the cache of a CPU


def attend_by_gather(
    value: Tensor, spatial_shapes: Sequence[Sequence[int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Deformable DETR's eq. (3) on the CPU; half precision is computed in float32.

    Bilinear interpolation is a sum of four pixels, so a query sums 4 * L * P rows of the values: one sparse matrix
    product, for which libraries have fast kernels, forward and backward.

    Args:
        value: (B, N, heads, C / heads).
        spatial_shapes: (h, w) of each of the L levels; their products sum to N.
        locations: (B, Q, heads, L, P, 2), (x, y) in [0, 1]; outside is zero.
        weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, C).
    """
    if value.dtype in (torch.float16, torch.bfloat16):
        return attend_by_gather(value.float(), spatial_shapes, locations, weights).to(value.dtype)
    batch, _, heads, dims = value.shape
    _, queries, _, levels, points, _ = locations.shape
    images = max(1, PIECE // (queries * heads * levels * points))
    if batch > images and infers_on_cpu(value):
        parts = (tensor.split(images) for tensor in (value, locations, weights))
        return torch.cat([attend_by_gather(v, spatial_shapes, x, w) for v, x, w in zip(*parts)])
    index, share = _samples(spatial_shapes, locations.to(value.dtype), weights.to(value.dtype))
    table = value.reshape(-1, dims)
    if is_compiling() or not CAN_SAMPLE:
        output = F.embedding_bag(index, table, mode="sum", per_sample_weights=share)
    else:
        output = _WeightedRows.apply(table, index, share)
    return output.view(batch, queries, heads * dims)


def attend_then_project(
    value: Tensor,
    projection: nn.Linear,
    spatial_shapes: Sequence[Sequence[int]],
    locations: Tensor,
    weights: Tensor,
) -> Tensor:
    """:func:`attend_by_gather` to projected values, for few queries: only what these sum is projected.

    A projection may as well follow a weighted sum, but for its bias, which counts as much as the shares sum to.

    Args:
        value: (B, N, C).
        projection: From C to C channels, those of the first head first.
        spatial_shapes: (h, w) of each of the L levels; their products sum to N.
        locations: (B, Q, heads, L, P, 2), (x, y) in [0, 1]; outside is zero.
        weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, C).
    """
    batch, queries, heads = locations.shape[:3]
    locations, weights = (of.to(value.dtype).flatten(1, 2)[:, :, None] for of in (locations, weights))
    index, share = _samples(spatial_shapes, locations, weights)  # each head a query of its own
    sums = F.embedding_bag(index, value.reshape(-1, value.shape[2]), mode="sum", per_sample_weights=share)
    of_heads = projection.weight.view(heads, -1, value.shape[2]).transpose(1, 2)  # (heads, C, C / heads)
    output = sums.view(batch * queries, heads, -1).transpose(0, 1) @ of_heads  # (heads, B * Q, C / heads)
    bias = share.sum(1).view(batch * queries, heads, 1) * projection.bias.view(heads, -1)
    return (output.transpose(0, 1) + bias).reshape(batch, queries, -1)


def _samples(spatial_shapes: Sequence[Sequence[int]], locations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that each query and head sums, and their shares.

    Args:
        spatial_shapes: (h, w) of each of the L levels.
        locations: (B, Q, heads, L, P, 2).
        weights: (B, Q, heads, L, P).

    Returns:
        Rows of the values of B images, N tokens and so many heads, (B * Q * heads, 4 * L * P) int32; and shares.
    """
    batch, queries, heads, levels, points, _ = locations.shape
    across, down, start = _geometry(plain_sizes(spatial_shapes), points, batch, heads, locations.device)
    locations = locations.reshape(batch, queries, heads, levels * points, 2)
    weights = weights.reshape(batch, queries, heads, levels * points)
    left, on_left, on_right = _neighbours(locations[..., 0], across)
    above, on_above, on_below = _neighbours(locations[..., 1], down)

    corner = above.mul_(down.stride).add_(start).add_(left.mul_(across.stride))
    below = corner + down.step
    index = torch.cat([corner, corner + across.step, below, below + across.step], dim=-1)
    on_above, on_below = on_above * weights, on_below * weights
    share = torch.cat([on_above * on_left, on_above * on_right, on_below * on_left, on_below * on_right], dim=-1)
    return index.reshape(batch * queries * heads, -1), share.reshape(batch * queries * heads, -1)


class _Axis(NamedTuple):
    """One axis of the level that each point samples, all (L * P,).

    Attributes:
        size: Pixels.
        last: The last pixel that has another after it, or 0.
        gap: From a pixel to the next; beyond all reach where there is only one.
        stride: From a pixel to the next in rows of the values, int32.
        step: The same, but 0 where there is only one, int32.
    """

    size: Tensor
    last: Tensor
    gap: Tensor
    stride: Tensor
    step: Tensor


def _neighbours(location: Tensor, axis: _Axis) -> tuple[Tensor, Tensor, Tensor]:
    """Two pixels that lie next to each other along one axis, and their shares in each location's interpolation.

    They are the two beside the location. Where one of these lies outside, the two are those at the border.

    Args:
        location: (..., L * P) in [0, 1].
        axis: Of each point's level.

    Returns:
        The first of the two, int32; its share, and that of the other. The shares of a NaN are NaN.
    """
    pixel = (location * axis.size).sub_(0.5)
    with torch.no_grad():
        first = torch.minimum(pixel.floor().clamp_(min=0), axis.last)
        distance = pixel - first
    # infinity less itself is no number, but what lies infinitely far away has a share and a slope of 0
    moved = (pixel - pixel.detach()).nan_to_num() if pixel.requires_grad else None
    return first.int().clamp_(min=0), _share(distance, moved), _share(distance - axis.gap, moved)


def _share(distance: Tensor, moved: Tensor | None) -> Tensor:
    """What a pixel gets: 1 at no distance, 0 from a distance of 1 on. At a kink the slope is that to its right.

    Args:
        distance: To the pixel, along the axis.
        moved: Zeros, through which the gradient of the distance is passed on; ``None`` if none is wanted.

    Returns:
        1 - abs(distance), or 0.
    """
    with torch.no_grad():
        share = (1 - distance.abs()).clamp_(min=0)
        if moved is None:
            return share
        slope = (distance >= -1).to(share.dtype) - 2 * (distance >= 0).to(share.dtype) + (distance >= 1).to(share.dtype)
    return share + slope * moved


@constant_of_sizes
def _geometry(
    shapes: tuple[tuple[int, int], ...], points: int, batch: int, heads: int, device: torch.device
) -> tuple[_Axis, _Axis, Tensor]:
    """Width and height of each point's level, and the row of its pixel (0, 0), (batch, 1, heads, L * P)."""
    sizes = torch.tensor(shapes, device=device)
    height, width = sizes.repeat_interleave(points, 0).unbind(1)
    pixels = sizes.prod(1)
    level = (pixels.cumsum(0) - pixels).repeat_interleave(points)
    token = torch.arange(batch, device=device)[:, None, None] * pixels.sum() + level
    start = token * heads + torch.arange(heads, device=device)[None, :, None]
    axes = (_axis(size, stride * heads) for size, stride in ((width, torch.ones_like(width)), (height, width)))
    return (*axes, start[:, None].int())


def _axis(size: Tensor, stride: Tensor) -> _Axis:
    many = size > 1
    gap = torch.where(many, 1.0, 1e30)
    return _Axis(size.float(), (size - 2).clamp(min=0).float(), gap, stride.int(), (stride * many).int())


class _WeightedRows(torch.autograd.Function):
    """Sums of a table's rows by weight: a product of a sparse matrix with a dense one.

    torch's ``embedding_bag`` computes the same, but most of its time goes into its gradients, where it sorts. Here the
    table's gradient is scipy's product, which is faster though it runs on one thread. Gradients can be taken once:
    there are no second derivatives on the CPU.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weight: Tensor) -> Tensor:  # noqa: ANN401 - torch has no type
        """Sum ``table[index[i, j]] * weight[i, j]`` over j.

        Args:
            ctx: What the gradients need is kept here.
            table: (T, D).
            index: (R, J) int32.
            weight: (R, J).

        Returns:
            (R, D).
        """
        ctx.save_for_backward(table, index, weight)
        return F.embedding_bag(index, table, mode="sum", per_sample_weights=weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:  # noqa: ANN401 - as above
        """Gradients of table and weight.

        Args:
            ctx: What :meth:`forward` kept.
            gradient: (R, D).

        Returns:
            (T, D), nothing for the index, and (R, J).
        """
        table, index, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        columns = index.view(-1)
        starts = torch.arange(0, index.numel() + 1, index.shape[1], dtype=index.dtype, device=index.device)
        of_table = of_weight = None
        if ctx.needs_input_grad[0]:
            matrix = csr_matrix(
                (weight.view(-1).numpy(), columns.numpy(), starts.numpy()), shape=(len(index), len(table))
            )
            of_table = torch.from_numpy(matrix.T @ gradient.numpy())
        if ctx.needs_input_grad[2]:
            _accept_sparse_tensors()
            missing = index.shape[1] - len(table)  # torch keeps no more elements than a dense matrix would have
            padded = F.pad(table, (0, 0, 0, missing)) if missing > 0 else table
            shape = (len(index), len(padded))
            values = gradient.new_zeros(index.numel())
            product = torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
            torch.sparse.sampled_addmm(product, gradient, padded.t(), out=product)
            of_weight = product.values().view_as(weight)
        return of_table, None, of_weight


@functools.lru_cache(maxsize=1)
def _accept_sparse_tensors() -> None:
    """Let torch say once, unheard, that its sparse tensors may change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), device="cpu")

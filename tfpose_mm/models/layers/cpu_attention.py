"""Deformable attention on the CPU: a weighted sum of gathered rows, many times faster than ``grid_sample``."""

from __future__ import annotations

import functools
import warnings
from typing import Any, Sequence

import torch
import torch.nn.functional as F
from mmengine.utils import digit_version
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable

from .compilation import constant_of_sizes, is_compiling, plain_sizes

CAN_SAMPLE = digit_version(torch.__version__) >= digit_version("2.0")  # sampled_addmm on the CPU


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
    rows = batch * queries * heads
    height, width, start = _geometry(plain_sizes(spatial_shapes), points, batch, heads, value.device)
    locations = locations.to(value.dtype).reshape(batch, queries, heads, levels * points, 2)
    weights = weights.to(value.dtype).reshape(batch, queries, heads, levels * points)
    left, right, on_left, on_right = _neighbours(locations[..., 0], width)
    above, below, on_above, on_below = _neighbours(locations[..., 1], height)

    with torch.no_grad():
        stride = (width * heads).int()
        above, below = above.int().mul_(stride).add_(start), below.int().mul_(stride).add_(start)
        left, right = left.int().mul_(heads), right.int().mul_(heads)
        index = torch.cat([above + left, above + right, below + left, below + right], dim=-1)
        index.clamp_(0, value[..., 0].numel() - 1)  # only a NaN lies outside; its shares are NaN, and so is the output
    on_above, on_below = on_above * weights, on_below * weights
    share = torch.cat([on_above * on_left, on_above * on_right, on_below * on_left, on_below * on_right], dim=-1)
    table, index, share = value.reshape(-1, dims), index.reshape(rows, -1), share.reshape(rows, -1)
    if is_compiling() or not CAN_SAMPLE:
        output = F.embedding_bag(index, table, mode="sum", per_sample_weights=share)
    else:
        output = _WeightedRows.apply(table, index, share)
    return output.view(batch, queries, heads * dims)


def _neighbours(location: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two pixels beside each location along one axis, and their shares in the interpolation.

    Args:
        location: (..., L * P) in [0, 1].
        size: (L * P,), pixels along this axis.

    Returns:
        Pixel before, pixel after, both inside; share of the one, share of the other, 0 for a pixel that lies outside.
    """
    pixel = torch.minimum(location * size - 0.5, size).clamp(min=-1)  # no further than the first that are all outside
    with torch.no_grad():
        floor = pixel.floor()
        last, next_one = size - 1, floor + 1
        before, after = torch.minimum(floor, last).clamp_(min=0), torch.minimum(next_one, last)
        before_inside = 1 - (floor - before).abs_()
        after_inside = 1 - (next_one - after).clamp_(max=1)
    share = pixel - floor
    return before, after, (1 - share) * before_inside, share * after_inside


@constant_of_sizes
def _geometry(
    shapes: tuple[tuple[int, int], ...], points: int, batch: int, heads: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Height and width of each point's level, (L * P,), and the row of its pixel (0, 0), (batch, 1, heads, L * P)."""
    height, width = torch.tensor(shapes, dtype=torch.float32, device=device).repeat_interleave(points, 0).unbind(1)
    sizes = torch.tensor([0] + [h * w for h, w in shapes], device=device)
    level = sizes.cumsum(0)[:-1].repeat_interleave(points)
    token = torch.arange(batch, device=device)[:, None, None] * sizes.sum() + level
    start = token * heads + torch.arange(heads, device=device)[None, :, None]
    return height, width, start[:, None].int()


class _WeightedRows(torch.autograd.Function):
    """Sums of a table's rows by weight: a product of a sparse matrix with a dense one.

    torch's ``embedding_bag`` computes the same, but most of its time goes into its gradients, where it sorts. These can
    be taken once: there are no second derivatives on the CPU.
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

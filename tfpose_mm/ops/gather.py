"""Deformable attention on the CPU as a sparse matrix product.

A bilinear sample is a weighted sum of four pixels. So the output of a query and head is a weighted sum of 4 * L * P
rows of the values: one product of a sparse matrix (a row for each query and head) with the table of values. On a CPU
this is several times as fast as ``grid_sample``; ``python -m benchmarks.speed_suite`` measures it.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor


def gather_attention(
    value: Tensor, value_spatial_shapes: Sequence[Sequence[int]], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Deformable attention as a weighted sum of gathered pixels, on the CPU.

    Args:
        value: (B, N, heads, C / heads), float32 or float64.
        value_spatial_shapes: (h, w) of each of the L levels.
        sampling_locations: (B, Q, heads, L, P, 2), (x, y) in [0, 1]; outside is zero. NaN gives NaN.
        attention_weights: (B, Q, heads, L, P).

    Returns:
        (B, Q, C). It has first derivatives only: ``create_graph=True`` and ``torch.func`` raise a RuntimeError.
    """
    batch, _, heads, dims = value.shape
    queries = sampling_locations.shape[1]
    rows, weights = _pixels(value_spatial_shapes, sampling_locations.to(value.dtype), attention_weights.to(value.dtype))
    output = _WeightedRowSum.apply(value.reshape(-1, dims), rows, weights)
    return output.view(batch, queries, heads * dims)


def _pixels(
    spatial_shapes: Sequence[Sequence[int]], locations: Tensor, attention_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """The pixels that each query and head sums, and the weight of each.

    Args:
        spatial_shapes: (h, w) of each of the L levels.
        locations: (B, Q, heads, L, P, 2).
        attention_weights: (B, Q, heads, L, P).

    Returns:
        Rows of the table of values (B * N * heads, C / heads), (B * Q * heads, 4 * L * P) int32; and their weights.
    """
    batch, queries, heads, levels, points, _ = locations.shape
    # One column a sampling point, because torch is slow where the last dimension of a broadcast is short.
    locations = locations.reshape(batch, queries, heads, levels * points, 2)
    attention_weights = attention_weights.reshape(batch, queries, heads, levels * points)
    height, width = (torch.tensor(sides).repeat_interleave(points).int() for sides in zip(*spatial_shapes))
    left, right, left_weight, right_weight = _neighbours(locations[..., 0], width)
    top, bottom, top_weight, bottom_weight = _neighbours(locations[..., 1], height)

    first_row = _first_rows(spatial_shapes, points, batch, heads)
    top, bottom = (first_row + y * (width * heads) for y in (top, bottom))
    left, right = left * heads, right * heads
    top_weight, bottom_weight = top_weight * attention_weights, bottom_weight * attention_weights
    rows = torch.cat([top + left, top + right, bottom + left, bottom + right], dim=-1)
    weights = [top_weight * left_weight, top_weight * right_weight]
    weights += [bottom_weight * left_weight, bottom_weight * right_weight]
    return rows.flatten(0, 2), torch.cat(weights, dim=-1).flatten(0, 2)


def _neighbours(coordinate: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two pixels beside each sampling point along one axis, and their weights in the linear interpolation.

    Args:
        coordinate: (..., L * P), in [0, 1].
        size: (L * P,) int32, the pixels of each point's level along the axis.

    Returns:
        First and second pixel, int32, moved inside; weight of each, 0 if the pixel lies outside.
    """
    length = size.to(coordinate.dtype)
    # The centre of pixel i is at i. Beyond [-1, length] all weights are 0, so nothing changes when infinity is cut off.
    position = torch.minimum((coordinate * length - 0.5).clamp(min=-1), length)
    first = position.detach().floor()
    fraction = position - first
    first_weight = (1 - fraction) * ((first >= 0) & (first < length))
    second_weight = fraction * (first < length - 1)  # the second pixel is at least 0
    first, last = first.int(), size - 1
    second = torch.minimum((first + 1).clamp_(min=0), last)
    return torch.minimum(first.clamp_(min=0), last), second, first_weight, second_weight


def _first_rows(spatial_shapes: Sequence[Sequence[int]], points: int, batch: int, heads: int) -> Tensor:
    """The row of the first pixel of the level of each sampling point, (B, 1, heads, L * P) int32."""
    sizes = torch.tensor([h * w for h, w in spatial_shapes])
    tokens = int(sizes.sum())
    level = (sizes.cumsum(0) - sizes).repeat_interleave(points)
    token = torch.arange(batch).view(-1, 1, 1, 1) * tokens + level
    return (token * heads + torch.arange(heads).view(-1, 1)).int()


class _WeightedRowSum(torch.autograd.Function):
    """Weighted sums of the rows of a table, which is a product of a sparse with a dense matrix.

    The result is that of ``embedding_bag``, whose own gradients spend most of their time on sorting.
    """

    @staticmethod
    def forward(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """Sum ``table[rows[i, j]] * weights[i, j]`` over j: (T, D), (R, J) int32, (R, J) to (R, D)."""
        return F.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:  # noqa: ANN401 - torch has no public type
        """Keep the inputs for the gradients."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    # pyrefly: ignore[bad-override] - torch declares *gradients
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:  # noqa: ANN401 - as above
        """Gradients of the table (T, D), of nothing for the rows, and of the weights (R, J)."""
        if torch.is_grad_enabled():  # with create_graph=True, or in torch.func
            raise RuntimeError(
                "Deformable attention needs the implementation 'grid_sample' for torch.func, but got 'gather', whose "
                "gradients cannot be differentiated: call set_attn_implementation(model, 'grid_sample')."
            )
        table, rows, weights = ctx.saved_tensors
        gradient = gradient.contiguous()
        starts = torch.arange(0, rows.numel() + 1, rows.shape[1], dtype=rows.dtype)
        of_table = of_weights = None
        if ctx.needs_input_grad[0]:
            parts = (weights.flatten().numpy(), rows.flatten().numpy(), starts.numpy())
            matrix = csr_matrix(parts, shape=(len(rows), len(table)))
            of_table = torch.from_numpy(matrix.T @ gradient.numpy())
        if ctx.needs_input_grad[2]:
            of_weights = _sampled_products(gradient, table, starts, rows).view_as(weights)
        return of_table, None, of_weights


def _sampled_products(left: Tensor, right: Tensor, starts: Tensor, rows: Tensor) -> Tensor:
    """``left[i] . right[rows[i, j]]`` for each i and j: (R, D), (T, D), (R + 1,), (R, J) to (R * J,)."""
    missing = rows.shape[1] - len(right)  # torch's sparse matrices hold at most as many numbers as dense ones
    right = F.pad(right, (0, 0, 0, missing)) if missing > 0 else right
    _ignore_sparse_warning()
    shape, zeros = (len(rows), len(right)), left.new_zeros(rows.numel())
    product = torch.sparse_csr_tensor(starts, rows.flatten(), zeros, shape, check_invariants=False)
    return torch.sparse.sampled_addmm(product, left, right.t(), out=product).values()


@functools.lru_cache(maxsize=1)
def _ignore_sparse_warning() -> None:
    """Ignore a warning. Torch warns once in a process that its sparse matrices are in beta; users cannot act on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1), device="cpu")

"""Deformable attention without ``GridSample``: the four pixels around each sampling point are read with ``Gather``."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers import DeformableAttention
from ..ops import SpatialShapes


class GatherAttention(nn.Module):
    """A :class:`DeformableAttention` as weighted sums of table rows.

    The bilinear weights of the four pixels and the attention weight are multiplied, so a query sums 4 * L * P rows of
    the values in each head. ``Gather`` and ``MatMul`` compute the sums. OpenVINO has one operator for both, see
    :class:`tfpose_mm.export.runner.PoseRunner`.

    Where there are few queries, as in the decoder, the rows are pixels of the memory, and the sums are projected
    afterwards. Then the value projection of all pixels is not needed.

    Args:
        attention: The trained module; its layers are copied.
    """

    def __init__(self, attention: DeformableAttention) -> None:
        super().__init__()
        self.heads, self.levels, self.points = attention.num_heads, attention.num_levels, attention.num_points
        for name in ("value_proj", "output_proj"):
            setattr(self, name, copy.deepcopy(getattr(attention, name)))
        offsets, logits = attention.sampling_offsets, attention.attention_weights
        # one projection gives the offsets along x of all points, those along y, and the attention logits
        order = torch.arange(offsets.out_features).view(-1, 2).t().flatten()
        self.register_buffer("matrix", torch.cat([offsets.weight[order], logits.weight]).detach())  # (3 * points, C)
        self.register_buffer("bias", torch.cat([offsets.bias[order], logits.bias]).detach())

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        query_pos: Tensor | None = None,
        records: None = None,
    ) -> Tensor:
        """As :meth:`DeformableAttention.forward`, without records."""
        queries, (pixels, channels) = query.shape[1], value.shape[1:]
        use_memory = 4 * queries <= pixels
        rows_per_pixel = 1 if use_memory else self.heads
        x, y, weights = self._locate(query, reference_points, spatial_shapes, query_pos)
        rows, weights = self._corners(x, y, weights, spatial_shapes, rows_per_pixel)
        rows = rows + torch.arange(value.shape[0], dtype=torch.int32)[:, None, None, None] * (pixels * rows_per_pixel)
        table = (value if use_memory else self.value_proj(value)).reshape(-1, channels // rows_per_pixel)
        sums = weights[..., None, :] @ table[rows]  # (B, Q, heads, 1, C or C / heads)
        if use_memory:
            by_head = self.value_proj.weight.view(self.heads, -1, channels).transpose(1, 2)  # (heads, C, C / heads)
            sums = (sums.view(-1, queries, self.heads, channels).transpose(1, 2) @ by_head).transpose(1, 2)
            sums = sums + weights.sum(-1, keepdim=True) * self.value_proj.bias.view(self.heads, -1)
        return self.output_proj(sums.reshape(-1, queries, channels)) + query

    def _locate(
        self, query: Tensor, reference_points: Tensor, spatial_shapes: SpatialShapes, query_pos: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The points, x and y in pixels of the level, and their weights: (B, Q, heads, L * P) each."""
        queries, count = query.shape[1], self.heads * self.levels * self.points
        sizes = query.new_tensor([(w, h) for h, w in spatial_shapes])
        centers = (reference_points * sizes - 0.5).transpose(2, 3)  # (B or 1, Q, 2, L)
        centers = centers[:, :, :, None, :, None].expand(-1, -1, 2, self.heads, self.levels, self.points).flatten(2)
        projected = F.linear(query, self.matrix)
        # what the position adds does not depend on the image, except in some heads
        constant = self.bias if query_pos is None else F.linear(query_pos, self.matrix, self.bias)
        places = projected[..., : 2 * count] + (constant[..., : 2 * count] + centers)
        shape = (-1, queries, self.heads, self.levels * self.points)
        logits = projected[..., 2 * count :] + constant[..., 2 * count :]
        return places[..., :count].view(shape), places[..., count:].view(shape), logits.view(shape).softmax(-1)

    def _corners(
        self, x: Tensor, y: Tensor, weights: Tensor, spatial_shapes: SpatialShapes, rows_per_pixel: int
    ) -> tuple[Tensor, Tensor]:
        """Row of the table and weight of the four pixels around each point: (B, Q, heads, 4 * L * P), int32 and float.

        The four pixels are always inside their level, so no index has to be masked: bilinear interpolation is
        max(0, 1 - |distance|) on each axis, which is 0 for a pixel that is not beside the point.
        """
        height, width = (side.repeat_interleave(self.points) for side in torch.tensor(spatial_shapes).unbind(1))
        starts = torch.tensor([0, *(h * w for h, w in spatial_shapes[:-1])]).cumsum(0).repeat_interleave(self.points)
        left = torch.minimum(x.floor().clamp(min=0), (width - 2).clamp(min=0).to(x))
        top = torch.minimum(y.floor().clamp(min=0), (height - 2).clamp(min=0).to(y))
        first = starts * rows_per_pixel + (torch.arange(self.heads)[:, None] if rows_per_pixel > 1 else 0)
        row_stride = (width * rows_per_pixel).int()
        first = top.int() * row_stride + (left.int() * rows_per_pixel + first.int())  # (B, Q, heads, L * P)

        # (4, L * P): the corners from left to right, then from top to bottom. In a level of one column the right
        # corner is put at infinity, where its weight is 0.
        right, below = torch.tensor([0, 1, 0, 1])[:, None], torch.tensor([0, 0, 1, 1])[:, None]
        steps = right * (width > 1) * rows_per_pixel + below * (height > 1) * row_stride
        columns, rows = (
            torch.where((side == 1) & (corner == 1), float("inf"), corner).to(x)
            for side, corner in ((width, right), (height, below))
        )
        left_distance, top_distance = (x - left)[..., None, :], (y - top)[..., None, :]  # (B, Q, heads, 1, L * P)
        bilinear = F.relu(1 - (left_distance - columns).abs()) * F.relu(1 - (top_distance - rows).abs())
        return (first[..., None, :] + steps.int()).flatten(-2), (bilinear * weights[..., None, :]).flatten(-2)

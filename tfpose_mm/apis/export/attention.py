"""Deformable attention for exported models: fewer and larger matrix products, and no operator of mmcv.

The results are those of :class:`DeformableAttention` up to rounding. What differs:

- one linear layer computes offsets and attention weights;
- what depends on positions only is constant, so that exporters fold it;
- positions are in pixels of a level from the start;
- where there are few queries, as in the decoder, the bilinear weights are a small matrix of queries and pixels. The
  memory is multiplied with it first and projected afterwards, so the value projection of all pixels is not needed.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.layers import DeformableAttention
from ...ops import SpatialShapes

ATTENTIONS = ("grid_sample", "gather")


class ExportedAttention(nn.Module):
    """A :class:`DeformableAttention` in the form that this module describes.

    Args:
        attention: The trained module; its parameters are copied.
        implementation: How pixels attend to pixels: ``"grid_sample"`` uses ONNX's ``GridSample``, ``"gather"`` reads
            the four pixels around each sampling point.
    """

    def __init__(self, attention: DeformableAttention, implementation: str) -> None:
        super().__init__()
        self.implementation = implementation
        self.heads, self.levels, self.points = attention.num_heads, attention.num_levels, attention.num_points
        offsets, weights = attention.sampling_offsets, attention.attention_weights
        # all x, all y, all weights; each (heads, L * P)
        matrix = offsets.weight.view(-1, 2, offsets.weight.shape[1]).transpose(0, 1).flatten(0, 1)
        bias = offsets.bias.view(-1, 2).t().flatten()
        self.register_buffer("matrix", torch.cat([matrix, weights.weight]).detach())
        self.register_buffer("bias", torch.cat([bias, weights.bias]).detach())
        self.value_proj, self.output_proj = copy.deepcopy(attention.value_proj), copy.deepcopy(attention.output_proj)

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
        queries, samples = query.shape[1], self.levels * self.points
        projected = F.linear(query, self.matrix)
        constant = self.bias if query_pos is None else F.linear(query_pos, self.matrix, self.bias)
        x, y, logits = (projected + constant).view(-1, queries, 3, self.heads, samples).unbind(2)
        weights = logits.softmax(-1)  # (B, Q, heads, L * P)
        sizes = value.new_tensor([side for h, w in spatial_shapes for side in (w, h)]).view(-1, 2)
        base = (reference_points * sizes - 0.5).repeat_interleave(self.points, dim=2)  # (B or 1, Q, L * P, 2)
        x, y = x + base[:, :, None, :, 0], y + base[:, :, None, :, 1]  # 0 is the centre of the first pixel
        pixels = sum(h * w for h, w in spatial_shapes)
        if 4 * queries <= pixels:
            output = self._few_queries(value, spatial_shapes, x, y, weights)
        else:
            values = self.value_proj(value)
            sample = _grid_sample if self.implementation == "grid_sample" else _gather
            output = sample(values, spatial_shapes, x, y, weights)
        return self.output_proj(output) + query

    def _few_queries(
        self, value: Tensor, spatial_shapes: SpatialShapes, x: Tensor, y: Tensor, weights: Tensor
    ) -> Tensor:
        """(B, Q, C), without the projection of all values."""
        queries, channels = x.shape[1], value.shape[-1]
        matrix = _sampling_matrix(spatial_shapes, x, y, weights)  # (B, Q * heads, N)
        sums = (matrix @ value).view(-1, queries, self.heads, channels).transpose(1, 2)  # (B, heads, Q, C)
        inside = matrix.sum(-1).view(-1, queries, self.heads, 1)
        by_head = self.value_proj.weight.view(self.heads, -1, channels).transpose(1, 2)  # (heads, C, C / heads)
        output = (sums @ by_head).transpose(1, 2)  # (B, Q, heads, C / heads)
        output = output + inside * self.value_proj.bias.view(self.heads, -1)
        return output.reshape(-1, queries, channels)


def fold_attention(model: nn.Module, implementation: str) -> None:
    """Replace every :class:`DeformableAttention` of a model by an :class:`ExportedAttention`.

    Args:
        model: The model; it is changed.
        implementation: See :class:`ExportedAttention`.
    """
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, DeformableAttention):
                setattr(module, name, ExportedAttention(child, implementation))


def _sampling_matrix(spatial_shapes: SpatialShapes, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The weight of every pixel for every query and head, (B, Q * heads, N).

    Bilinear interpolation is max(0, 1 - |distance|) on each axis, so the weights of a point on a level are an outer
    product. Pixels outside have no column, which is the padding with zeros.
    """
    batch_shape = (-1, x.shape[1] * x.shape[2])
    points = x.shape[3] // len(spatial_shapes)
    levels = []
    for index, (height, width) in enumerate(spatial_shapes):
        part = slice(index * points, (index + 1) * points)
        columns = F.relu(1 - (x[..., part, None] - torch.arange(width, dtype=x.dtype)).abs())  # (B, Q, heads, P, w)
        rows = F.relu(1 - (y[..., part, None] - torch.arange(height, dtype=x.dtype)).abs())
        rows = (rows * weights[..., part, None]).transpose(-1, -2)  # (B, Q, heads, h, P)
        levels.append((rows @ columns).reshape(*batch_shape, height * width))
    return torch.cat(levels, dim=-1)


def _grid_sample(values: Tensor, spatial_shapes: SpatialShapes, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of the sampled values (B, N, C): (B, Q, C)."""
    _, queries, heads, samples = x.shape
    channels = values.shape[-1]
    points = samples // len(spatial_shapes)
    x, y, weights = (part.permute(0, 2, 3, 1) for part in (x, y, weights))  # (B, heads, L * P, Q)
    total = 0
    levels = values.transpose(1, 2).split([h * w for h, w in spatial_shapes], dim=2)
    for index, (level, (height, width)) in enumerate(zip(levels, spatial_shapes)):
        part = slice(index * points, (index + 1) * points)
        image = level.reshape(-1, channels // heads, height, width)  # (B * heads, C / heads, h, w)
        # from pixels to [-1, 1] between the outer edges
        grid = torch.stack([(x[:, :, part] * 2 + 1) / width - 1, (y[:, :, part] * 2 + 1) / height - 1], dim=-1)
        grid = grid.reshape(-1, points, queries, 2)
        sampled = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        total = total + (sampled * weights[:, :, part].reshape(-1, 1, points, queries)).sum(2)
    return total.reshape(-1, channels, queries).transpose(1, 2)


def _gather(values: Tensor, spatial_shapes: SpatialShapes, x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """As :func:`_grid_sample`, without ``GridSample``."""
    batch, queries, heads, samples = x.shape
    pixels, channels = values.shape[1:]
    points = samples // len(spatial_shapes)
    sizes = torch.tensor(spatial_shapes)
    height, width = (side.repeat_interleave(points) for side in sizes.unbind(1))
    starts = (sizes.prod(1).cumsum(0) - sizes.prod(1)).repeat_interleave(points)
    left, top = x.floor(), y.floor()
    right_weight, bottom_weight = x - left, y - top
    left, top = left.long(), top.long()
    first = torch.arange(batch)[:, None, None, None] * pixels + starts
    rows, parts = [], []
    for row, row_weight in ((top, 1 - bottom_weight), (top + 1, bottom_weight)):
        for column, column_weight in ((left, 1 - right_weight), (left + 1, right_weight)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = first + row.clamp(min=0).minimum(height - 1) * width + column.clamp(min=0).minimum(width - 1)
            rows.append(index * heads + torch.arange(heads)[:, None])
            parts.append(weights * row_weight * column_weight * inside)
    table = values.reshape(-1, channels // heads)
    gathered = table[torch.cat(rows, dim=-1)]  # (B, Q, heads, 4 * L * P, C / heads)
    return (torch.cat(parts, dim=-1)[..., None, :] @ gathered).reshape(-1, queries, channels)

"""Deformable attention for exported models, without an operator of mmcv.

The results are those of :class:`DeformableAttention` up to rounding. In the encoder each sampling point has its own
``GridSample``. In the decoder there are few queries: the bilinear weights are a small matrix of queries and pixels. The
memory is multiplied with it first and projected afterwards, so the value projection of all pixels is not needed.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.layers import DeformableAttention
from ..ops import SpatialShapes


class GridSampleAttention(nn.Module):
    """A :class:`DeformableAttention` in the form that this module describes.

    Args:
        attention: The trained module; its layers are copied.
    """

    def __init__(self, attention: DeformableAttention) -> None:
        super().__init__()
        self.heads, self.levels, self.points = attention.num_heads, attention.num_levels, attention.num_points
        for name in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            setattr(self, name, copy.deepcopy(getattr(attention, name)))

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
        queries = query.shape[1]
        located = query if query_pos is None else query + query_pos
        sizes = value.new_tensor([(w, h) for h, w in spatial_shapes])  # (L, 2)
        # (x, y) in pixels of the level, with 0 at the centre of the first one
        centers = (reference_points * sizes - 0.5)[:, :, None, :, None]  # (B or 1, Q, 1, L, 1, 2)
        centers = centers.expand(-1, -1, self.heads, self.levels, self.points, 2).flatten(2)
        locations = self.sampling_offsets(located) + centers
        locations = locations.view(-1, queries, self.heads, self.levels * self.points, 2)
        weights = self.attention_weights(located).view(-1, queries, self.heads, self.levels * self.points).softmax(-1)
        if 4 * queries <= value.shape[1]:
            output = self._few_queries(value, spatial_shapes, locations, weights)
        else:
            output = _grid_sample(self.value_proj(value), spatial_shapes, locations, weights)
        return self.output_proj(output) + query

    def _few_queries(self, value: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
        """(B, Q, C), without the projection of all values."""
        queries, channels = locations.shape[1], value.shape[-1]
        matrix = _sampling_matrix(spatial_shapes, locations, weights)  # (B, Q * heads, N)
        sums = (matrix @ value).view(-1, queries, self.heads, channels).transpose(1, 2)  # (B, heads, Q, C)
        inside = matrix.sum(-1).view(-1, queries, self.heads, 1)
        by_head = self.value_proj.weight.view(self.heads, -1, channels).transpose(1, 2)  # (heads, C, C / heads)
        output = (sums @ by_head).transpose(1, 2)  # (B, Q, heads, C / heads)
        output = output + inside * self.value_proj.bias.view(self.heads, -1)
        return output.reshape(-1, queries, channels)


def fold_attention(model: nn.Module) -> None:
    """Replace every :class:`DeformableAttention` of a model by a :class:`GridSampleAttention`; the model is changed."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, DeformableAttention):
                setattr(module, name, GridSampleAttention(child))


def _sampling_matrix(spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """The weight of every pixel for every query and head, (B, Q * heads, N).

    Bilinear interpolation is max(0, 1 - |distance|) on each axis, so the weights of a point on a level are an outer
    product. Pixels outside have no column, which is the padding with zeros.
    """
    _, queries, heads, samples, _ = locations.shape
    points = samples // len(spatial_shapes)
    levels = []
    for index, (height, width) in enumerate(spatial_shapes):
        part = slice(index * points, (index + 1) * points)
        x, y = locations[..., part, :1], locations[..., part, 1:]  # (B, Q, heads, P, 1), in pixels
        columns = F.relu(1 - (x - torch.arange(width, dtype=x.dtype)).abs())  # (B, Q, heads, P, w)
        rows = F.relu(1 - (y - torch.arange(height, dtype=x.dtype)).abs())
        rows = (rows * weights[..., part, None]).transpose(-1, -2)  # (B, Q, heads, h, P)
        levels.append((rows @ columns).reshape(-1, queries * heads, height * width))
    return torch.cat(levels, dim=-1)


def _grid_sample(values: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of the sampled values (B, N, C): (B, Q, C).

    Each sampling point has its own ``GridSample``, so that engines can fuse its weight with the sum.
    """
    _, queries, heads, samples, _ = locations.shape
    channels = values.shape[-1]
    points = samples // len(spatial_shapes)
    sizes = locations.new_tensor([(w, h) for h, w in spatial_shapes]).repeat_interleave(points, 0)  # (L * P, 2)
    locations = (2 * locations + 1) / sizes - 1  # in [-1, 1] between the outer edges of the level
    grids = locations.permute(3, 0, 2, 1, 4).reshape(samples, -1, 1, queries, 2)  # (L * P, B * heads, 1, Q, 2)
    weights = weights.permute(3, 0, 2, 1).reshape(samples, -1, 1, 1, queries)
    levels = values.transpose(1, 2).split([h * w for h, w in spatial_shapes], dim=2)
    images = [level.reshape(-1, channels // heads, *shape) for level, shape in zip(levels, spatial_shapes)]
    sampled = []
    for index, (grid, weight) in enumerate(zip(grids.unbind(0), weights.unbind(0))):
        image = images[index // points]  # (B * heads, C / heads, h, w)
        samples = F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        sampled.append(samples * weight)
    return sum(sampled[1:], sampled[0]).reshape(-1, channels, queries).transpose(1, 2)

"""The module of multi-scale deformable attention, with mmcv's parameters."""

from __future__ import annotations

from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn

from ...errors import UserError
from ...ops import SpatialShapes, check_implementation, level_sizes, multi_scale_deformable_attention
from .checks import check_num_heads, check_positive
from .records import AttentionRecord


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's ``MultiScaleDeformableAttention`` with another forward.

    Parameters, their names and their initialisation are mmcv's. Differences:
        - :func:`tfpose_mm.ops.multi_scale_deformable_attention` computes it, for any batch size, device and precision;
        - ``spatial_shapes`` are Python integers, so that nothing is read back from the device;
        - tensors are always batch first;
        - sampling locations and attention weights are returned on request.

    Source: Deformable DETR, eq. (3); TFPose, sections 3.2 (pixel-to-pixel) and 3.3 (pixel-to-query).

    Args:
        embed_dims: Channels C of queries and values.
        num_heads: Heads; they must divide C.
        num_levels: Levels L of the feature pyramid.
        num_points: Points P that each head samples on each level.
        dropout: Dropout of the output, before the residual is added. Defaults to 0.1.

    Attributes:
        attn_implementation: ``"cuda"`` or ``"grid_sample"``; ``None``, the initial value, is the default of the
            device. :func:`set_attn_implementation` sets it.

    Raises:
        UserError: If the heads do not divide the channels, or a number is below 1.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        dropout: float = 0.1,
    ) -> None:
        check_num_heads(embed_dims, num_heads)
        check_positive("DeformableAttention", num_levels=num_levels, num_points=num_points)
        super().__init__(embed_dims, num_heads, num_levels, num_points, dropout=dropout, batch_first=True)
        self.attn_implementation: str | None = None

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        query_pos: Tensor | None = None,
        records: list[AttentionRecord] | None = None,
    ) -> Tensor:
        """Attend from every query to L * P points around its reference point, and add the query.

        Args:
            query: (B, Q, C).
            value: (B, N, C), the tokens of all levels, one level after the other, rows first.
            reference_points: (B or 1, Q, L or 1, 2), (x, y) in [0, 1]; (0, 0) is the outer corner of the first pixel.
            spatial_shapes: (h, w) of each of the L levels.
            query_pos: (B or 1, Q, C), added to the query where offsets and weights are computed.
            records: If a list is given, locations and weights are appended to it.

        Returns:
            (B, Q, C).
        """
        batch, num_queries, _ = query.shape
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        located = query if query_pos is None else query + query_pos

        offsets = self.sampling_offsets(located).view(batch, num_queries, heads, levels, points, 2)  # in pixels
        sizes = level_sizes(spatial_shapes, query.device, reference_points.dtype)[:, None]  # (L, 1, 2)
        locations = reference_points[:, :, None, :, None] + offsets / sizes  # (B, Q, heads, L, P, 2)
        weights = self.attention_weights(located).view(batch, num_queries, heads, levels * points).softmax(-1)
        weights = weights.view(batch, num_queries, heads, levels, points)
        if records is not None:
            records.append(AttentionRecord(locations, weights))

        values = self.value_proj(value).unflatten(-1, (heads, -1))
        output = multi_scale_deformable_attention(values, spatial_shapes, locations, weights, self.attn_implementation)
        return self.dropout(self.output_proj(output)) + query


def set_attn_implementation(model: nn.Module, implementation: str | None) -> None:
    """Choose how every deformable attention of a model is computed.

    Tracing, ``torch.compile`` and export need ``"grid_sample"``, the default on the CPU.

    Args:
        model: A model, neck or head with :class:`DeformableAttention` in it; it is changed.
        implementation: ``"cuda"``, ``"grid_sample"``, or ``None`` for the default of the device.

    Raises:
        UserError: If there is no such implementation, or the model has no deformable attention.
    """
    if implementation is not None:
        check_implementation(implementation)
    attentions = [module for module in model.modules() if isinstance(module, DeformableAttention)]
    if not attentions:
        raise UserError(
            f"set_attn_implementation needs a model with deformable attention, but {type(model).__name__} has none: "
            "give a model with a DeformableTransformerNeck or a TFPoseHead."
        )
    for attention in attentions:
        attention.attn_implementation = implementation


def init_transformer(module: nn.Module) -> None:
    """Initialise layers as Deformable DETR does: Xavier for matrices, mmcv's radial bias for the sampling offsets.

    Call this in the ``init_weights`` of encoder and decoder: MMEngine applies a parent's ``init_cfg`` before that and a
    ``Pretrained`` one after it. A parent that initialises every ``Linear``, as ``VisPredictHead`` does, would otherwise
    set that bias to zero: all heads and points would sample the same place.
    """
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    for child in module.modules():
        if isinstance(child, DeformableAttention):
            child.init_weights()

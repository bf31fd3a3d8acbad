"""The transformer decoder: keypoint queries refine their coordinates layer by layer (TFPose, eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import MLP, inverse_sigmoid
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...ops import SpatialShapes
from .deformable_attention import DeformableAttention, init_transformer
from .positions import CoordinateEmbedding, TokenPosition
from .records import AttentionRecord
from .transformer import FFN, SelfAttention


class DeformableTransformerDecoderLayer(BaseModule):
    """Query-to-query attention, pixel-to-query deformable attention and FFN, each followed by a layer norm.

    The names of the submodules are those of mmdet's ``DeformableDetrTransformerDecoderLayer``, whose query-to-query
    attention cannot be switched off.

    Source: TFPose, section 3.3 and Figure 4.

    Args:
        embed_dims: Channels C of the queries and of the memory.
        num_levels: Levels L of the memory.
        num_heads: Attention heads; they must divide C. Defaults to 8.
        num_points: Sampling points of a head on a level. Defaults to 4.
        feedforward_channels: Hidden channels of the FFN. Defaults to 1024.
        dropout: Dropout of attention and FFN. Defaults to 0.1, as in Deformable DETR.
        query_attention: Whether keypoint queries attend to each other ("q2q" of Table 1). Defaults to ``True``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_levels: int,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        query_attention: bool = True,
    ) -> None:
        super().__init__()
        self.self_attn = SelfAttention(embed_dims, num_heads, dropout) if query_attention else None
        self.cross_attn = DeformableAttention(embed_dims, num_heads, num_levels, num_points, dropout)
        self.ffn = FFN(embed_dims, feedforward_channels, ffn_drop=dropout)
        self.norms = ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        if not query_attention:
            self.norms[0] = nn.Identity()  # the other two keep their names

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        values: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        records: list[AttentionRecord] | None = None,
    ) -> Tensor:
        """Update the keypoint queries from each other and from the memory.

        Args:
            query: Q_{d-1}, (B, K, C).
            query_pos: (B or 1, K, C).
            values: The memory M, perhaps with positions, (B, N, C).
            reference_points: y_{d-1}, (B, K, 2), (x, y) in [0, 1].
            spatial_shapes: (h, w) of each level.
            records: If a list is given, the layer's record is appended to it.

        Returns:
            Q_d, (B, K, C).
        """
        query_weights = None
        if self.self_attn is not None:
            query, query_weights = self.self_attn(query, query_pos, need_weights=records is not None)
            query = self.norms[0](query)
        query = self.cross_attn(
            query, values, reference_points[:, :, None], spatial_shapes, query_pos=query_pos, records=records
        )
        if records is not None:
            records[-1] = records[-1]._replace(query_attention=query_weights)
        return self.norms[2](self.ffn(self.norms[1](query)))


class RegressionBranch(MLP):
    """MLP of three layers from a keypoint query to the step of its coordinates before the sigmoid.

    Its last layer starts at zero, so that an untrained model predicts y_0.

    Source: TFPose, section 3.3 and eq. (4); depth and initialisation as in Deformable DETR.

    Args:
        embed_dims: Channels C.
        out_channels: Numbers for each query. Defaults to 2, the step along x and y.
    """

    def __init__(self, embed_dims: int, out_channels: int = 2) -> None:
        super().__init__(embed_dims, embed_dims, out_channels, num_layers=3)

    def init_weights(self) -> None:
        """Initialise as torch does, the last layer with zeros, in spite of any parent's ``init_cfg``."""
        super().init_weights()
        for layer in self.layers:
            layer.reset_parameters()
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)


class DeformableTransformerDecoder(BaseModule):
    """K learned queries, a learned y_0 and N_D decoder layers, each of which refines the coordinates.

    Source: TFPose, section 3.3 and eq. (4). As in Deformable DETR's iterative refinement, no gradient flows through the
    coordinates from a layer to the one before it; only the learned y_0 gets one.

    Args:
        num_keypoints: Keypoints K.
        num_layers: Layers N_D, at least 1.
        embed_dims: Channels C.
        num_levels: Levels L of the memory.
        learned_start: Whether y_0 is a parameter, as in the paper. Defaults to ``True``.
        reference_position: Whether MLP(sine(y_{d-1})) is added to the position of a query, as in Group Pose; C must be
            a multiple of 4. Defaults to ``False``, as in the paper.
        token_position: Whether position and level embeddings are added to the values, see :class:`TokenPosition`.
            Defaults to ``False``, as in the paper.
        **layer_cfg: Further arguments of :class:`DeformableTransformerDecoderLayer`.
    """

    def __init__(
        self,
        num_keypoints: int,
        num_layers: int,
        embed_dims: int,
        num_levels: int,
        learned_start: bool = True,
        reference_position: bool = False,
        token_position: bool = False,
        **layer_cfg: Any,  # noqa: ANN401 - the arguments of a config
    ) -> None:
        super().__init__()
        self.query_embedding = nn.Embedding(num_keypoints, 2 * embed_dims)  # position and content, as in mmdet
        y_0 = nn.Parameter(torch.logit(torch.empty(num_keypoints, 2).uniform_(0.25, 0.75))) if learned_start else None
        self.register_parameter("reference_points", y_0)
        self.layers = ModuleList(
            DeformableTransformerDecoderLayer(embed_dims, num_levels, **layer_cfg) for _ in range(num_layers)
        )
        self.reference_position = CoordinateEmbedding(embed_dims) if reference_position else None
        self.token_position = TokenPosition(embed_dims, num_levels) if token_position else None

    def init_weights(self) -> None:
        """Initialise as Deformable DETR does, after any parent's ``init_cfg`` and in spite of it."""
        super().init_weights()
        init_transformer(self.layers)

    def learned_coordinates(self, batch_size: int) -> Tensor:
        """The learned y_0, (B, K, 2), (x, y) in [0, 1], the same for every image.

        At least float32: half precision would be off by half a pixel of the input.
        """
        points = self.reference_points
        logits = points if points.dtype == torch.float64 else points.float()
        return logits.sigmoid().expand(batch_size, -1, -1)

    def forward(
        self,
        memory: Tensor,
        spatial_shapes: SpatialShapes,
        reg_branches: Sequence[nn.Module],
        coordinates: Tensor,
        records: list[AttentionRecord] | None = None,
    ) -> Tensor:
        """Refine y_0 to y_1 .. y_{N_D}.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level.
            reg_branches: For each layer a module (B, K, C) -> (B, K, 2), the step before the sigmoid.
            coordinates: y_0, (B, K, 2), (x, y) in [0, 1], at least float32.
            records: If a list is given, each layer's record is appended to it.

        Returns:
            The coordinates of every layer, (N_D, B, K, 2), (x, y) in [0, 1], at least float32.
        """
        keypoint_pos, content = self.query_embedding.weight.chunk(2, dim=1)  # (K, C) each
        query = content.expand(memory.shape[0], -1, -1)  # (B, K, C)
        values = memory if self.token_position is None else memory + self.token_position(spatial_shapes)
        outputs = []
        for layer, reg_branch in zip(self.layers, reg_branches):
            query_pos = keypoint_pos[None]  # (1, K, C)
            if self.reference_position is not None:
                query_pos = query_pos + self.reference_position(coordinates)  # (B, K, C)
            query = layer(query, query_pos, values, coordinates, spatial_shapes, records)
            step = reg_branch(query).to(coordinates.dtype)  # (B, K, 2)
            refined = torch.sigmoid(inverse_sigmoid(coordinates) + step)  # eq. (4)
            outputs.append(refined)
            coordinates = refined.detach()
        return torch.stack(outputs)

"""The transformer decoder: keypoint queries refine their coordinates layer by layer (TFPose, eq. 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.layers import MLP, inverse_sigmoid
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...ops import SpatialShapes
from .deformable_attention import DeformableAttention
from .initialisation import init_transformer
from .records import AttentionRecord, DecoderLayerRecord
from .transformer import FFN, SelfAttention


class DeformableTransformerDecoderLayer(BaseModule):
    """Query-to-query attention, pixel-to-query deformable attention and FFN, each followed by a layer norm.

    The arguments are those of :class:`TFPoseHead`. The names of the submodules are those of mmdet's
    ``DeformableDetrTransformerDecoderLayer``, whose query-to-query attention cannot be switched off.

    Source: TFPose, section 3.3 and Figure 4.
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
        attn_implementation: str | None = None,
    ) -> None:
        super().__init__()
        self.self_attn = SelfAttention(embed_dims, num_heads, dropout) if query_attention else None
        sizes = (embed_dims, num_heads, num_levels, num_points)
        self.cross_attn = DeformableAttention(*sizes, dropout, attn_implementation)
        self.ffn = FFN(embed_dims, feedforward_channels, ffn_drop=dropout)
        self.norms = ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        if not query_attention:
            self.norms[0] = nn.Identity()  # the other two keep their names

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        records: list[DecoderLayerRecord] | None = None,
    ) -> Tensor:
        """Update the keypoint queries from each other and from the memory.

        Args:
            query: Q_{d-1}, (B, K, C).
            query_pos: (B or 1, K, C).
            memory: M, (B, N, C).
            reference_points: y_{d-1}, (B, K, 2), (x, y) in [0, 1].
            spatial_shapes: (h, w) of each level.
            records: If a list is given, the layer's record is appended to it.

        Returns:
            Q_d, (B, K, C).
        """
        query_weights = None
        sampled: list[AttentionRecord] | None = None if records is None else []
        if self.self_attn is not None:
            query, query_weights = self.self_attn(query, query_pos, need_weights=records is not None)
            query = self.norms[0](query)
        query = self.cross_attn(
            query, memory, reference_points[:, :, None], spatial_shapes, query_pos=query_pos, records=sampled
        )
        query = self.norms[2](self.ffn(self.norms[1](query)))
        if records is not None and sampled:
            records.append(DecoderLayerRecord(query_weights, *sampled[0]))
        return query


class RegressionBranch(MLP):
    """MLP of three layers from a keypoint query to the step of its coordinates before the sigmoid.

    Its last layer starts at zero, so that an untrained model predicts y_0 and a sigma of 0.5.

    Source: TFPose, section 3.3 and eq. (4); depth and initialisation as in Deformable DETR.

    Args:
        embed_dims: Channels C.
        sigma: Whether to predict the logits of sigma_x and sigma_y as well. Defaults to ``False``.
    """

    def __init__(self, embed_dims: int, sigma: bool = False) -> None:
        super().__init__(embed_dims, embed_dims, 4 if sigma else 2, num_layers=3)

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
        **layer_cfg: Arguments of :class:`DeformableTransformerDecoderLayer`.
    """

    def __init__(self, num_keypoints: int, num_layers: int, embed_dims: int, **layer_cfg: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.embed_dims = embed_dims
        self.query_embedding = nn.Embedding(num_keypoints, 2 * embed_dims)  # position and content, as in mmdet
        self.reference_points = nn.Parameter(torch.logit(torch.empty(num_keypoints, 2).uniform_(0.25, 0.75)))
        self.layers = ModuleList(DeformableTransformerDecoderLayer(embed_dims, **layer_cfg) for _ in range(num_layers))

    def init_weights(self) -> None:
        """Initialise as Deformable DETR does, after any parent's ``init_cfg`` and in spite of it."""
        super().init_weights()
        init_transformer(self.layers)

    def initial_coordinates(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        """y_0, the same for every image.

        Args:
            memory: M, (B, N, C); only B matters here.
            spatial_shapes: (h, w) of each level.

        Returns:
            (B, K, 2), (x, y) in [0, 1], at least float32: half precision would be off by half a pixel of the input.
        """
        logits = self.reference_points
        logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        return logits.sigmoid().expand(memory.shape[0], -1, -1)

    def forward(
        self,
        memory: Tensor,
        spatial_shapes: SpatialShapes,
        reg_branches: Sequence[nn.Module],
        records: list[DecoderLayerRecord] | None = None,
        coordinates: Tensor | None = None,
    ) -> Tensor:
        """Refine y_0 to y_1 .. y_{N_D}.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level.
            reg_branches: For each layer a module (B, K, C) -> (B, K, 2), the step before the sigmoid; (B, K, 4) with
                the logits of sigma.
            records: If a list is given, each layer's record is appended to it.
            coordinates: Another y_0, (B, K, 2), (x, y) in [0, 1]. ``None`` takes the learned one, as in the paper.

        Returns:
            The coordinates of every layer, (N_D, B, K, 2), (x, y) in [0, 1]; with sigma (N_D, B, K, 4), the last two
            being its logits. They are at least float32.
        """
        embedding = self.query_embedding.weight
        query_pos = embedding[None, :, : self.embed_dims]  # (1, K, C)
        query = embedding[:, self.embed_dims :].expand(memory.shape[0], -1, -1)  # (B, K, C)
        coordinates = self.initial_coordinates(memory, spatial_shapes) if coordinates is None else coordinates
        outputs = []
        for layer, reg_branch in zip(self.layers, reg_branches):
            query = layer(query, query_pos, memory, coordinates, spatial_shapes, records)
            step = reg_branch(query).to(coordinates.dtype)  # (B, K, 2), or (B, K, 4) with sigma
            refined = torch.sigmoid(inverse_sigmoid(coordinates) + step[..., :2])  # eq. (4)
            outputs.append(torch.cat([refined, step[..., 2:]], dim=-1))
            coordinates = refined.detach()
        return torch.stack(outputs)

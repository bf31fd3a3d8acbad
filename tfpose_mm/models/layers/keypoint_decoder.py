"""The transformer decoder: keypoint queries that refine their coordinates layer by layer."""

from __future__ import annotations

from typing import Sequence

import torch
from mmdet.models.layers import MLP, inverse_sigmoid
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from .deformable_attention import DeformableAttention, SpatialShapes
from .initialisation import init_transformer
from .linear import Linear
from .transformer_parts import FFN, SelfAttention


class KeypointDecoderLayer(BaseModule):
    """Query-to-query attention, pixel-to-query deformable attention, FFN; a norm after each.

    The names are those of mmdet's ``DeformableDetrTransformerDecoderLayer``, which has no switch for its first part.

    Source: TFPose, section 3.3 and Figure 4.

    Args:
        embed_dims: Channels C.
        num_levels: Levels L of the memory.
        num_heads: Attention heads.
        num_points: Sampling points of a head on a level.
        feedforward_channels: Hidden channels of the FFN.
        dropout: Dropout of attention weights, attention outputs and FFN.
        query_attention: Whether keypoints attend to each other ("q2q", Table 1).
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
        self.self_attn = None
        if query_attention:
            self.self_attn = SelfAttention(embed_dims, num_heads, dropout)
        self.cross_attn = DeformableAttention(embed_dims, num_heads, num_levels, num_points, dropout)
        self.ffn = FFN(embed_dims, feedforward_channels, ffn_drop=dropout)
        self.norms = ModuleList(nn.LayerNorm(embed_dims) for _ in range(3))
        if not query_attention:
            self.norms[0] = nn.Identity()  # keeps the names of the other two

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        memory: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
    ) -> Tensor:
        """Update the keypoint queries from each other and from the memory.

        Args:
            query: Q_{d-1}, (B, K, C).
            query_pos: (B or 1, K, C).
            memory: M, (B, N, C).
            reference_points: Coordinates of layer d-1, (B, K, 2), (x, y) in [0, 1].
            spatial_shapes: (h, w) of each level.

        Returns:
            Q_d, (B, K, C).
        """
        if self.self_attn is not None:
            query = self.norms[0](self.self_attn(query, query_pos))
        query = self.norms[1](
            self.cross_attn(query, memory, reference_points[:, :, None], spatial_shapes, query_pos=query_pos)
        )
        return self.norms[2](self.ffn(query))


class RefinementBranch(MLP):
    """MLP of three layers from a keypoint query to the step that its coordinates make before the sigmoid.

    Its last layer starts at zero, so that an untrained model predicts y_0, and a sigma of 0.5.

    Source: TFPose, section 3.3 and eq. (4); depth and initialisation as in Deformable DETR.

    Args:
        embed_dims: Channels C.
        sigma: Whether to predict how far the coordinates may be off, too: two more numbers, the logits of sigma_x and
            sigma_y.
    """

    def __init__(self, embed_dims: int, sigma: bool = False) -> None:
        super().__init__(embed_dims, embed_dims, 4 if sigma else 2, num_layers=3)
        self.layers = ModuleList(Linear.like(layer) for layer in self.layers)

    def init_weights(self) -> None:
        """Initialise as torch does, the last layer with zeros, in spite of any parent's ``init_cfg``."""
        super().init_weights()
        for layer in self.layers:
            layer.reset_parameters()
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)


class KeypointDecoder(BaseModule):
    """K learned queries, a learned y_0 and N_D decoder layers, each of which refines the coordinates.

    Source: TFPose, section 3.3 and eq. (4). As in Deformable DETR's iterative refinement, a layer takes the coordinates
    of the layer before as given: gradients do not flow through them, only the learned y_0 receives one.

    Args:
        num_keypoints: Keypoints K.
        num_layers: Layers N_D, at least 1.
        embed_dims: Channels C.
        **layer_cfg: Further arguments of :class:`KeypointDecoderLayer`.
    """

    def __init__(self, num_keypoints: int, num_layers: int, embed_dims: int, **layer_cfg: int | float | bool) -> None:
        super().__init__()
        self.query_embedding = nn.Embedding(num_keypoints, 2 * embed_dims)  # position and content, as in mmdet
        self.reference_points = nn.Parameter(torch.logit(torch.empty(num_keypoints, 2).uniform_(0.25, 0.75)))
        self.layers = ModuleList(KeypointDecoderLayer(embed_dims, **layer_cfg) for _ in range(num_layers))

    def init_weights(self) -> None:
        """Initialise as Deformable DETR does, after and in spite of any parent's ``init_cfg``."""
        super().init_weights()
        init_transformer(self.layers)

    def forward(self, memory: Tensor, spatial_shapes: SpatialShapes, reg_branches: Sequence[nn.Module]) -> Tensor:
        """Refine y_0 to y_1 .. y_{N_D}.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level.
            reg_branches: For each layer a module (B, K, C) -> (B, K, 2), the refinement before the sigmoid; or
                (B, K, 4), with the logits of sigma.

        Returns:
            The coordinates of every layer, (N_D, B, K, 2), (x, y) in [0, 1], in the precision of y_0; with sigma
            (N_D, B, K, 4), the last two being its logits.
        """
        query_pos, query = self.query_embedding.weight.expand(len(memory), -1, -1).chunk(2, dim=-1)  # (B, K, C)
        reference_points = self.reference_points.sigmoid().expand(len(memory), -1, -1)  # (B, K, 2)
        outputs = []
        for layer, reg_branch in zip(self.layers, reg_branches):
            query = layer(query, query_pos, memory, reference_points, spatial_shapes)
            step, sigma = reg_branch(query).to(reference_points.dtype).tensor_split([2], dim=-1)
            refined = torch.sigmoid(inverse_sigmoid(reference_points) + step)
            outputs.append(torch.cat([refined, sigma], dim=-1))
            reference_points = refined.detach()
        return torch.stack(outputs)

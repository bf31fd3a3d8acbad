"""The transformer encoder: pixel-to-pixel deformable attention over all levels."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.layers import SinePositionalEncoding
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...ops import SpatialShapes
from .deformable_attention import DeformableAttention, init_transformer
from .positions import embed_token_positions
from .records import AttentionRecord
from .token_maps import encoder_reference_points
from .transformer import FFN


class DeformableTransformerEncoderLayer(BaseModule):
    """Pixel-to-pixel deformable attention and FFN, each followed by a layer norm.

    The names of the submodules are mmdet's.

    Source: TFPose, Figure 4; Deformable DETR, appendix A.4.

    Args:
        embed_dims: Channels C of the tokens.
        num_levels: Levels L of the feature pyramid.
        num_heads: Attention heads; they must divide C. Defaults to 8.
        num_points: Sampling points of a head on a level. Defaults to 4.
        feedforward_channels: Hidden channels of the FFN. Defaults to 1024.
        dropout: Dropout of attention and FFN. Defaults to 0.1, as in Deformable DETR.
    """

    def __init__(
        self,
        embed_dims: int,
        num_levels: int,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(embed_dims, num_heads, num_levels, num_points, dropout)
        self.ffn = FFN(embed_dims, feedforward_channels, ffn_drop=dropout)
        self.norms = ModuleList(nn.LayerNorm(embed_dims) for _ in range(2))

    def forward(
        self,
        tokens: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        spatial_shapes: SpatialShapes,
        records: list[AttentionRecord] | None = None,
    ) -> Tensor:
        """Update every pixel from all levels.

        Args:
            tokens: (B, N, C).
            query_pos: E^L + E^P, (1, N, C).
            reference_points: (1, N, 1, 2), see :func:`encoder_reference_points`.
            spatial_shapes: (h, w) of each level.
            records: If a list is given, the layer's record is appended to it.

        Returns:
            (B, N, C).
        """
        tokens = self.self_attn(tokens, tokens, reference_points, spatial_shapes, query_pos=query_pos, records=records)
        return self.norms[1](self.ffn(self.norms[0](tokens)))


class DeformableTransformerEncoder(BaseModule):
    """N_E encoder layers that turn F_0 into the memory M, with level embedding E^L and pixel embedding E^P.

    Source: TFPose, section 3.2.

    Args:
        num_layers: Layers N_E, at least 1.
        embed_dims: Channels C, a multiple of 4.
        num_levels: Levels L of the feature pyramid.
        **layer_cfg: Further arguments of :class:`DeformableTransformerEncoderLayer`.
    """

    def __init__(self, num_layers: int, embed_dims: int, num_levels: int, **layer_cfg: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.positional_encoding = SinePositionalEncoding(embed_dims // 2, normalize=True, offset=-0.5)
        self.level_embed = nn.Parameter(torch.randn(num_levels, embed_dims))
        self.layers = ModuleList(
            DeformableTransformerEncoderLayer(embed_dims, num_levels, **layer_cfg) for _ in range(num_layers)
        )

    def init_weights(self) -> None:
        """Initialise as Deformable DETR does, after any parent's ``init_cfg`` and in spite of it."""
        super().init_weights()
        init_transformer(self.layers)

    def forward(
        self, tokens: Tensor, spatial_shapes: SpatialShapes, records: list[AttentionRecord] | None = None
    ) -> Tensor:
        """Compute the memory.

        Args:
            tokens: F_0, (B, N, C).
            spatial_shapes: (h, w) of each level.
            records: If a list is given, each layer's record is appended to it.

        Returns:
            The memory M, (B, N, C).
        """
        # E^L + E^P: added to the queries of attention, not to the values
        query_pos = embed_token_positions(self.positional_encoding, self.level_embed, spatial_shapes)
        reference_points = encoder_reference_points(spatial_shapes, tokens.device)
        for layer in self.layers:
            tokens = layer(tokens, query_pos, reference_points, spatial_shapes, records)
        return tokens

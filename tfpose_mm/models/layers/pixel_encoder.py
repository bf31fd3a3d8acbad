"""The transformer encoder: pixel-to-pixel deformable attention over all levels."""

from __future__ import annotations

import torch
from mmdet.models.layers import SinePositionalEncoding
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from .compilation import constant_of_sizes, is_compiling, plain_sizes
from .deformable_attention import DeformableAttention, SpatialShapes
from .initialisation import init_transformer
from .token_maps import maps_to_tokens, token_centres
from .transformer_parts import FFN


class PixelEncoderLayer(BaseModule):
    """Pixel-to-pixel deformable attention and FFN, a norm after each; the names are mmdet's.

    Source: TFPose, Figure 4; Deformable DETR, appendix A.4.

    Args:
        embed_dims: Channels C.
        num_levels: Levels L of the feature pyramid.
        num_heads: Attention heads.
        num_points: Sampling points of a head on a level.
        feedforward_channels: Hidden channels of the FFN.
        dropout: Dropout after attention and in the FFN.
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
        self, tokens: Tensor, position: Tensor, reference_points: Tensor, spatial_shapes: SpatialShapes
    ) -> Tensor:
        """Let every pixel gather from all levels.

        Args:
            tokens: (B, N, C).
            position: (1, N, C).
            reference_points: (1, N, 1, 2), see :func:`token_centres`.
            spatial_shapes: (h, w) of each level.

        Returns:
            (B, N, C).
        """
        attended = self.self_attn(tokens, tokens, reference_points, spatial_shapes, query_pos=position)
        return self.norms[1](self.ffn(self.norms[0](attended)))


def _sine_encoding(embed_dims: int) -> SinePositionalEncoding:
    return SinePositionalEncoding(embed_dims // 2, normalize=True, offset=-0.5)


def _sine_position(encode: SinePositionalEncoding, shapes: tuple, device: torch.device) -> Tensor:
    """E^P of every token, (N, C) float32."""
    maps = [encode(torch.zeros(1, h, w, dtype=torch.bool, device=device)) for h, w in shapes]
    return maps_to_tokens(maps)[0][0]


@constant_of_sizes
def _cached_position(embed_dims: int, shapes: tuple, device: torch.device) -> Tensor:
    return _sine_position(_sine_encoding(embed_dims), shapes, device)


class PixelEncoder(BaseModule):
    """N_E encoder layers that turn F_0 into the memory M, with the embeddings that tell levels and pixels apart.

    Source: TFPose, section 3.2.

    Args:
        num_layers: Layers N_E, at least 1.
        embed_dims: Channels C.
        num_levels: Levels L of the feature pyramid.
        **layer_cfg: Further arguments of :class:`PixelEncoderLayer`.
    """

    def __init__(self, num_layers: int, embed_dims: int, num_levels: int, **layer_cfg: int | float) -> None:
        super().__init__()
        self.positional_encoding = _sine_encoding(embed_dims)
        self.level_embed = nn.Parameter(torch.randn(num_levels, embed_dims))
        self.layers = ModuleList(PixelEncoderLayer(embed_dims, num_levels, **layer_cfg) for _ in range(num_layers))

    def init_weights(self) -> None:
        """Initialise as Deformable DETR does, after and in spite of any parent's ``init_cfg``."""
        super().init_weights()
        init_transformer(self.layers)

    def position(self, spatial_shapes: SpatialShapes) -> Tensor:
        """E^L + E^P, which is added where attention is computed, not to the values.

        Args:
            spatial_shapes: (h, w) of each level.

        Returns:
            (1, N, C).
        """
        shapes = plain_sizes(spatial_shapes)
        if is_compiling():  # modules are made before, not while, a graph is traced
            sine = _sine_position(self.positional_encoding, shapes, self.level_embed.device)
        else:
            sine = _cached_position(self.level_embed.shape[1], shapes, self.level_embed.device)
        sizes = [h * w for h, w in shapes]
        level = torch.cat([level.expand(size, -1) for level, size in zip(self.level_embed, sizes)])  # (N, C)
        return (sine + level).to(level.dtype)[None]

    def forward(self, tokens: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        """Compute the memory.

        Args:
            tokens: F_0, (B, N, C).
            spatial_shapes: (h, w) of each level.

        Returns:
            The memory M, (B, N, C).
        """
        position = self.position(spatial_shapes)
        centres = token_centres(spatial_shapes, tokens.device)
        for layer in self.layers:
            tokens = layer(tokens, position, centres, spatial_shapes)
        return tokens

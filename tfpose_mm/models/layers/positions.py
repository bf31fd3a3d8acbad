"""Embeddings of the position of tokens and of keypoint queries."""

from __future__ import annotations

import torch
from mmdet.models.layers import MLP, SinePositionalEncoding, coordinate_to_encoding
from torch import Tensor, nn

from ...ops import SpatialShapes
from .checks import check_position_channels
from .token_maps import maps_to_tokens


def embed_token_positions(encoding: nn.Module, level_embed: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
    """Embed the position and the level of each token: (1, N, C), in the order of the tokens.

    ``encoding`` is mmdet's, from a mask (1, h, w) to (1, C, h, w); ``level_embed`` is (L, C).
    """
    masks = [torch.zeros(1, h, w, dtype=torch.bool, device=level_embed.device) for h, w in spatial_shapes]
    maps = [encoding(mask) + level_embed[i][:, None, None] for i, mask in enumerate(masks)]
    return maps_to_tokens(maps)[0].to(level_embed.dtype)


class TokenPosition(nn.Module):
    """Embedding of the position and level of each token, added to the values of pixel-to-query attention.

    Source: Poseur. TFPose adds such an embedding to the queries of its encoder only.

    Args:
        embed_dims: Channels C, a multiple of 4.
        num_levels: Levels L.
    """

    def __init__(self, embed_dims: int, num_levels: int) -> None:
        super().__init__()
        check_position_channels("TokenPosition", embed_dims)
        self.encoding = SinePositionalEncoding(embed_dims // 2, normalize=True, offset=-0.5)
        self.level_embed = nn.Parameter(torch.randn(num_levels, embed_dims))

    def forward(self, spatial_shapes: SpatialShapes) -> Tensor:
        """From (h, w) of each level, fine to coarse, to (1, N, C), in the order of the tokens of the memory."""
        return embed_token_positions(self.encoding, self.level_embed, spatial_shapes)


class CoordinateEmbedding(nn.Module):
    """MLP(sine(y)): embedding of the coordinates of each query.

    Source: Group Pose, ED-Pose and DETRPose, after DAB-DETR, for the position of queries; Poseur for their content.

    Args:
        embed_dims: Channels C, a multiple of 4.
        num_layers: Layers of the MLP. Defaults to 2.
    """

    def __init__(self, embed_dims: int, num_layers: int = 2) -> None:
        super().__init__()
        check_position_channels("CoordinateEmbedding", embed_dims)
        self.embed_dims = embed_dims
        self.mlp = MLP(embed_dims, embed_dims, embed_dims, num_layers)

    def forward(self, coordinates: Tensor) -> Tensor:
        """From coordinates (B, K, 2), (x, y) in [0, 1], to (B, K, C)."""
        encoded = coordinate_to_encoding(coordinates, self.embed_dims // 2)
        return self.mlp(encoded.to(self.mlp.layers[0].weight.dtype))

"""A decoder whose y_0 comes from keypoint maps and whose query positions follow the coordinates."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import torch
from mmdet.models.layers import MLP, SinePositionalEncoding, coordinate_to_encoding, inverse_sigmoid
from torch import Tensor, nn

from ...ops import SpatialShapes
from .decoder import DeformableTransformerDecoder
from .keypoint_maps import KeypointMaps, local_maximum, pool_tokens
from .records import DecoderLayerRecord
from .token_maps import embed_token_positions


class Proposal(NamedTuple):
    """What the first stage gives to the decoder.

    Attributes:
        logits: Keypoint maps (B, K, h, w).
        coordinates: y_0, (B, K, 2), (x, y) in [0, 1], without gradient.
        content: Added to the queries, (B, K, C); ``None`` without pooled content.
    """

    logits: Tensor
    coordinates: Tensor
    content: Tensor | None


class ReferencePosition(nn.Module):
    """Embedding of the current coordinates of each query: MLP(sine(y_{d-1})).

    Source: Group Pose, ED-Pose and DETRPose, after DAB-DETR.

    Args:
        embed_dims: Channels C, a multiple of 4.
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.embed_dims = embed_dims
        self.mlp = MLP(embed_dims, embed_dims, embed_dims, num_layers=2)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Embed coordinates (B, K, 2), (x, y) in [0, 1]: (B, K, C)."""
        encoded = coordinate_to_encoding(coordinates, self.embed_dims // 2)
        return self.mlp(encoded.to(self.mlp.layers[0].weight.dtype))


class TokenPosition(nn.Module):
    """Embedding of the position and level of each token, added to the values of pixel-to-query attention.

    Source: Poseur. TFPose adds such an embedding to the queries of its encoder only.

    Args:
        embed_dims: Channels C, a multiple of 4.
        num_levels: Levels L.
    """

    def __init__(self, embed_dims: int, num_levels: int) -> None:
        super().__init__()
        self.encoding = SinePositionalEncoding(embed_dims // 2, normalize=True, offset=-0.5)
        self.level_embed = nn.Parameter(torch.randn(num_levels, embed_dims))

    def forward(self, spatial_shapes: SpatialShapes) -> Tensor:
        """Compute the embedding of every token.

        Args:
            spatial_shapes: (h, w) of each level, the finest first.

        Returns:
            (1, N, C), in the order of the tokens of the memory.
        """
        return embed_token_positions(self.encoding, self.level_embed, spatial_shapes)


class TwoStageDecoder(DeformableTransformerDecoder):
    """TFPose's decoder with a first stage: y_0 and content of the queries come from keypoint maps on the memory.

    The name follows the two-stage Deformable DETR: its decoder starts from proposals that are predicted on the encoder
    tokens.

    Args:
        num_keypoints: Keypoints K.
        num_layers: Layers N_D, at least 1.
        embed_dims: Channels C; a multiple of 4 with ``reference_position`` or ``token_position``.
        pooled_content: Whether the tokens around each maximum are added to the query, as in QueryPose and Group Pose.
        reference_position: Whether the position of a query follows its coordinates, see :class:`ReferencePosition`.
        token_position: Whether position and level embeddings are added to the values, see :class:`TokenPosition`.
        look_forward_twice: Whether the loss of a layer also trains the step of the layer before it, as in DINO.
        **layer_cfg: Arguments of :class:`DeformableTransformerDecoderLayer`.
    """

    def __init__(
        self,
        num_keypoints: int,
        num_layers: int,
        embed_dims: int,
        pooled_content: bool = True,
        reference_position: bool = True,
        token_position: bool = True,
        look_forward_twice: bool = True,
        **layer_cfg: float | str | None,
    ) -> None:
        super().__init__(num_keypoints, num_layers, embed_dims, **layer_cfg)
        self.reference_points = None  # y_0 is not learned
        self.look_forward_twice = look_forward_twice
        self.keypoint_maps = KeypointMaps(embed_dims, num_keypoints)
        self.content = None
        if pooled_content:
            self.content = nn.Sequential(nn.Linear(embed_dims, embed_dims), nn.LayerNorm(embed_dims))
        self.reference_position = ReferencePosition(embed_dims) if reference_position else None
        self.token_position = TokenPosition(embed_dims, layer_cfg["num_levels"]) if token_position else None

    def propose(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Proposal:
        """The first stage.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level.

        Returns:
            Maps, y_0 and content.
        """
        logits = self.keypoint_maps(memory, spatial_shapes)
        content = None if self.content is None else self.content(pool_tokens(logits.detach(), memory))
        return Proposal(logits, local_maximum(logits.detach()), content)

    def initial_coordinates(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        """y_0, (B, K, 2), (x, y) in [0, 1]."""
        return self.propose(memory, spatial_shapes).coordinates

    def forward(
        self,
        memory: Tensor,
        spatial_shapes: SpatialShapes,
        reg_branches: Sequence[nn.Module],
        records: list[DecoderLayerRecord] | None = None,
        coordinates: Tensor | None = None,
        proposal: Proposal | None = None,
    ) -> Tensor:
        """Refine y_0 to y_1 .. y_{N_D}.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level.
            reg_branches: For each layer a module (B, K, C) -> (B, K, 2), the step before the sigmoid; (B, K, 4) with
                the logits of sigma.
            records: If a list is given, each layer's record is appended to it.
            coordinates: Another y_0, (B, K, 2), (x, y) in [0, 1]. ``None`` takes y_0 of the proposal.
            proposal: What :meth:`propose` returned; ``None`` computes it.

        Returns:
            The coordinates of every layer, (N_D, B, K, 2), (x, y) in [0, 1]; with sigma (N_D, B, K, 4), where the last
            two channels are the logits of sigma. They are at least float32.
        """
        proposal = proposal or self.propose(memory, spatial_shapes)
        coordinates = proposal.coordinates if coordinates is None else coordinates
        embedding = self.query_embedding.weight
        keypoint_pos = embedding[None, :, : self.embed_dims]  # (1, K, C)
        query = embedding[:, self.embed_dims :].expand(memory.shape[0], -1, -1)
        query = query if proposal.content is None else query + proposal.content
        values = memory if self.token_position is None else memory + self.token_position(spatial_shapes)
        before, outputs = coordinates, []  # `before` has the values of `coordinates`, with a gradient
        for layer, reg_branch in zip(self.layers, reg_branches):
            query_pos = keypoint_pos
            if self.reference_position is not None:
                query_pos = query_pos + self.reference_position(coordinates)
            query = layer(query, query_pos, values, coordinates, spatial_shapes, records)
            step = reg_branch(query).to(coordinates.dtype)
            refined = torch.sigmoid(inverse_sigmoid(before) + step[..., :2])
            outputs.append(torch.cat([refined, step[..., 2:]], dim=-1))
            start, coordinates = coordinates, refined.detach()
            before = coordinates
            if self.look_forward_twice:
                before = torch.sigmoid(inverse_sigmoid(start) + step[..., :2])
        return torch.stack(outputs)

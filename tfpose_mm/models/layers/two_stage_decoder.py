"""A decoder whose y_0 comes from a first stage and whose queries know their coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmdet.models.layers import MLP, SinePositionalEncoding, coordinate_to_encoding, inverse_sigmoid
from mmengine.model import ModuleList
from torch import Tensor, nn

from ...errors import UserError
from ...ops import SpatialShapes
from .decoder import DeformableTransformerDecoder, RegressionBranch
from .records import DecoderLayerRecord
from .token_maps import embed_token_positions


class Proposal(NamedTuple):
    """What a first stage gives to the decoder.

    Attributes:
        prediction: The output that its loss needs: keypoint maps (B, K, h, w), or coordinates and logits of sigma
            (B, K, 4).
        coordinates: y_0, (B, K, 2), (x, y) in [0, 1], without gradient.
        content: Added to the queries, (B, K, C); ``None`` adds nothing.
    """

    prediction: Tensor
    coordinates: Tensor
    content: Tensor | None


class CoordinateEmbedding(nn.Module):
    """MLP(sine(y)): embedding of the coordinates of each query.

    Source: Group Pose, ED-Pose and DETRPose, after DAB-DETR, for the position of queries; Poseur for their content.

    Args:
        embed_dims: Channels C, a multiple of 4.
        num_layers: Layers of the MLP. Defaults to 2.
    """

    def __init__(self, embed_dims: int, num_layers: int = 2) -> None:
        super().__init__()
        self.embed_dims = embed_dims
        self.mlp = MLP(embed_dims, embed_dims, embed_dims, num_layers)

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
    """TFPose's decoder after a first stage, which proposes y_0 and the content of the queries.

    The name follows the two-stage Deformable DETR: its decoder starts from proposals that are predicted on the encoder
    tokens.

    Args:
        num_keypoints: Keypoints K.
        num_layers: Layers N_D, at least 1.
        embed_dims: Channels C; a multiple of 4 with ``reference_position`` or ``token_position``.
        first_stage: A module that is called as ``first_stage(memory, spatial_shapes)`` and returns a :class:`Proposal`.
        reference_position: Whether the embedding of its coordinates is added to the position of a query, as in Group
            Pose. Defaults to ``False``.
        token_position: Whether position and level embeddings are added to the values, see :class:`TokenPosition`.
            Defaults to ``False``.
        reference_grad: Which earlier layers the loss of a layer trains through the coordinates. ``"none"`` as in
            TFPose; ``"twice"`` also trains the step of the layer before it, as in DINO's look forward twice; ``"all"``
            trains all earlier layers, as in Poseur. Defaults to ``"none"``.
        output_branch: Whether each layer adds a second step to its output only, outside the sigmoid, as in Poseur.
            Defaults to ``False``.
        **layer_cfg: Arguments of :class:`DeformableTransformerDecoderLayer`.

    Raises:
        UserError: If ``reference_grad`` has another value.
    """

    def __init__(
        self,
        num_keypoints: int,
        num_layers: int,
        embed_dims: int,
        first_stage: nn.Module,
        reference_position: bool = False,
        token_position: bool = False,
        reference_grad: str = "none",
        output_branch: bool = False,
        **layer_cfg: Any,  # noqa: ANN401 - the arguments of a config
    ) -> None:
        super().__init__(num_keypoints, num_layers, embed_dims, **layer_cfg)
        if reference_grad not in ("none", "twice", "all"):
            raise UserError(
                f"TwoStageDecoder needs reference_grad of 'none', 'twice' or 'all', but got {reference_grad!r}."
            )
        self.register_parameter("reference_points", None)  # y_0 is not learned
        self.reference_grad = reference_grad
        self.first_stage = first_stage
        self.reference_position = CoordinateEmbedding(embed_dims) if reference_position else None
        self.token_position = TokenPosition(embed_dims, layer_cfg["num_levels"]) if token_position else None
        self.output_branches = None
        if output_branch:
            self.output_branches = ModuleList(RegressionBranch(embed_dims) for _ in range(num_layers))

    def initial_coordinates(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        """y_0, (B, K, 2), (x, y) in [0, 1]."""
        return self.first_stage(memory, spatial_shapes).coordinates

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
            proposal: What the first stage returned; ``None`` calls it.

        Returns:
            The coordinates of every layer, (N_D, B, K, 2), (x, y) in [0, 1]; with sigma (N_D, B, K, 4), where the last
            two channels are the logits of sigma. They are at least float32.
        """
        proposal = proposal or self.first_stage(memory, spatial_shapes)
        coordinates = proposal.coordinates if coordinates is None else coordinates
        embedding = self.query_embedding.weight
        keypoint_pos = embedding[None, :, : self.embed_dims]  # (1, K, C)
        query = embedding[:, self.embed_dims :].expand(memory.shape[0], -1, -1)
        query = query if proposal.content is None else query + proposal.content
        values = memory if self.token_position is None else memory + self.token_position(spatial_shapes)
        before, outputs = coordinates, []  # `before` has the values of `coordinates`, perhaps with a gradient
        for index, (layer, reg_branch) in enumerate(zip(self.layers, reg_branches)):
            query_pos = keypoint_pos
            if self.reference_position is not None:
                query_pos = query_pos + self.reference_position(coordinates)
            query = layer(query, query_pos, values, coordinates, spatial_shapes, records)
            step = reg_branch(query).to(coordinates.dtype)
            refined = torch.sigmoid(inverse_sigmoid(before) + step[..., :2])
            output = refined if self.output_branches is None else refined + self.output_branches[index](query)
            outputs.append(torch.cat([output, step[..., 2:]], dim=-1))
            before, coordinates = self._next_coordinates(coordinates, refined, step[..., :2])
        return torch.stack(outputs)

    def _next_coordinates(self, coordinates: Tensor, refined: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """The refined coordinates, to which the next layer adds its step, and where it attends."""
        if self.reference_grad == "all":
            return refined, refined
        if self.reference_grad == "twice":
            return torch.sigmoid(inverse_sigmoid(coordinates) + step), refined.detach()
        return refined.detach(), refined.detach()

"""First stages of the two-stage head: they propose y_0 and the content of the queries, and have a loss of their own."""

from __future__ import annotations

import torch
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import CoordinateEmbedding, KeypointMaps, Proposal, SpatialShapes, local_maximum, pool_tokens


@MODELS.register_module()
class KeypointMapStage(nn.Module):
    """y_0 is the maximum of smoothed keypoint maps, which are predicted on the tokens.

    Args:
        embed_dims: Channels C, set by the head.
        num_keypoints: Keypoints K, set by the head.
        num_levels: Levels L, set by the head.
        upscale: See :class:`KeypointMaps`. Defaults to 2.
        radius: Standard deviation of the Gaussian that smooths the maps, in their pixels. y_0 is the mean of the
            softmax in a window of (2 * radius + 1)^2 pixels around the maximum. Twice the sigma of the loss is a good
            value. Defaults to 2.
        pooled_content: Whether the tokens around each maximum are added to the query, as in QueryPose and Group Pose.
            Defaults to ``False``.
        loss: Loss of the maps, called with logits (B, K, h, w), labels (B, K, 2) and weights (B, K). It is logged as
            ``loss_keypoint_maps``. Defaults to :class:`KeypointMapLoss`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_keypoints: int,
        num_levels: int,
        upscale: int = 2,
        radius: int = 2,
        pooled_content: bool = False,
        loss: ConfigType = dict(type="KeypointMapLoss"),  # noqa: B006 - read only, as in MMPose
    ) -> None:
        super().__init__()
        self.maps = KeypointMaps(embed_dims, num_keypoints, num_levels, upscale)
        self.radius = radius
        self.content = None
        if pooled_content:
            self.content = nn.Sequential(nn.Linear(embed_dims, embed_dims), nn.LayerNorm(embed_dims))
        self.loss_module = MODELS.build(loss)

    def forward(self, memory: Tensor, spatial_shapes: SpatialShapes, logits: Tensor | None = None) -> Proposal:
        """Propose y_0.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level, the finest first.
            logits: Keypoint maps; ``None`` predicts them from the memory.

        Returns:
            The proposal; its prediction are the maps.
        """
        logits = self.maps(memory, spatial_shapes) if logits is None else logits
        content = None
        if self.content is not None:
            content = self.content(pool_tokens(logits.detach(), memory, spatial_shapes, self.maps.upscale))
        return Proposal(logits, local_maximum(logits.detach(), self.radius), content)

    def move(self, proposal: Proposal, coordinates: Tensor) -> Proposal:
        """The proposal with another y_0, (B, K, 2)."""
        return proposal._replace(coordinates=coordinates)

    def loss(self, prediction: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            prediction: Keypoint maps (B, K, h, w).
            labels: (B, K, 2), (x, y) in [0, 1].
            weights: (B, K).
        """
        return {"loss_keypoint_maps": self.loss_module(prediction, labels, weights)}


@MODELS.register_module()
class RegressionStage(nn.Module):
    """y_0 is regressed from the mean token of the coarsest level, and the queries are embeddings of y_0.

    Source: Poseur, whose first stage is that of RLE. Poseur regresses from the last map of the backbone. This stage
    regresses from the tokens of this map, which are a linear projection with group norm.

    Args:
        embed_dims: Channels C, set by the head.
        num_keypoints: Keypoints K, set by the head.
        num_levels: Levels L, set by the head; it is not needed here.
        loss: Loss of y_0, called with coordinates (B, K, 2), logits of sigma (B, K, 2), labels (B, K, 2) and weights
            (B, K, 1). It is logged as ``loss_kpt_layer0``. Defaults to MMPose's ``RLELoss``.
        loss_weight: Weight of the loss. Defaults to 1.
    """

    def __init__(
        self,
        embed_dims: int,
        num_keypoints: int,
        num_levels: int,
        loss: ConfigType = dict(type="RLELoss", use_target_weight=True),  # noqa: B006 - read only, as in MMPose
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.coordinates = nn.Linear(embed_dims, 2 * num_keypoints)
        self.sigma = nn.Linear(embed_dims, 2 * num_keypoints)
        self.embedding = CoordinateEmbedding(embed_dims, num_layers=1)
        self.norm = nn.LayerNorm(embed_dims)
        self.loss_module = MODELS.build(loss)
        self.loss_weight = loss_weight

    def forward(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Proposal:
        """Propose y_0.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level, the finest first.

        Returns:
            The proposal; its prediction are coordinates and logits of sigma.
        """
        height, width = spatial_shapes[-1]
        pooled = memory[:, -height * width :].mean(1)
        parts = (self.coordinates(pooled), self.sigma(pooled))
        # not unflatten, as in tokens_to_maps
        prediction = torch.cat([part.reshape(part.shape[0], -1, 2) for part in parts], dim=-1)  # (B, K, 4)
        if prediction.dtype in (torch.float16, torch.bfloat16):
            prediction = prediction.float()
        coordinates = prediction[..., :2].detach().clamp(0, 1)
        return Proposal(prediction, coordinates, self.norm(self.embedding(coordinates)))

    def move(self, proposal: Proposal, coordinates: Tensor) -> Proposal:
        """The proposal with another y_0, (B, K, 2), and its content."""
        return proposal._replace(coordinates=coordinates, content=self.norm(self.embedding(coordinates)))

    def loss(self, prediction: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Compute the loss, averaged over keypoints and axes.

        Args:
            prediction: Coordinates and logits of sigma (B, K, 4).
            labels: (B, K, 2), (x, y) in [0, 1].
            weights: (B, K).
        """
        summed = self.loss_module(prediction[..., :2], prediction[..., 2:], labels, weights.unsqueeze(-1))
        return {"loss_kpt_layer0": self.loss_weight * summed / labels[0].numel()}

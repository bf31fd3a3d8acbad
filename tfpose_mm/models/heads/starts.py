"""Starts of the decoder that depend on the image."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ..layers import SpatialShapes, local_maximum, probability_near, tokens_to_maps


class Proposal(NamedTuple):
    """Where the decoder starts.

    Attributes:
        coordinates: y_0, (B, K, 2), (x, y) in [0, 1], at least float32.
        maps: The logits (B, K, h, w) of the maps whose maxima are y_0; ``None`` if y_0 is not from maps.
    """

    coordinates: Tensor
    maps: Tensor | None = None


@MODELS.register_module()
class KeypointMapStart(nn.Module):
    """y_0 is the maximum of smoothed keypoint maps, which linear layers predict on the tokens.

    The layer of each level predicts ``upscale`` x ``upscale`` pixels of each map for a token. The predictions of coarse
    levels are interpolated to the finest level and added. A pixel shuffle then arranges the pixels. No gradient flows
    through y_0: the maps have a loss of their own.

    Not in TFPose: see ``docs/method.md``. PETR, Group Pose and DETRPose start their decoders from such proposals on
    encoder tokens.

    Args:
        embed_dims: Channels C of the tokens, set by the head.
        num_keypoints: Keypoints K, set by the head.
        num_levels: Levels L, set by the head.
        upscale: Pixels for a token of the finest level in each direction. Defaults to 2: a stride of 8 becomes 4.
        radius: Standard deviation of the Gaussian that smooths the maps, in their pixels. y_0 is the mean of the
            softmax in a window of (2 * radius + 1)^2 pixels around the maximum. Twice the sigma of the loss is a good
            value. Defaults to 2.
        loss: Loss of the maps, called with logits (B, K, h, w), labels (B, K, 2) and weights (B, K). It is logged as
            ``loss_keypoint_maps``. Defaults to :class:`KeypointMapLoss`.
    """

    score_kinds = ("keypoint_map",)

    def __init__(
        self,
        embed_dims: int,
        num_keypoints: int,
        num_levels: int,
        upscale: int = 2,
        radius: int = 2,
        loss: ConfigType = dict(type="KeypointMapLoss"),  # noqa: B006 - read only, as in MMPose
    ) -> None:
        super().__init__()
        self.upscale = upscale
        self.radius = radius
        outputs = num_keypoints * upscale**2
        self.classifiers = nn.ModuleList(nn.Linear(embed_dims, outputs) for _ in range(num_levels))
        self.loss_module = MODELS.build(loss)

    def forward(self, memory: Tensor, spatial_shapes: SpatialShapes, maps: Tensor | None = None) -> Proposal:
        """Propose y_0.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level, fine to coarse.
            maps: Keypoint maps to use; ``None`` predicts them from the memory.

        Returns:
            y_0 without gradient, and the maps.
        """
        maps = self.predict_maps(memory, spatial_shapes) if maps is None else maps
        return Proposal(local_maximum(maps.detach(), self.radius), maps)

    def predict_maps(self, memory: Tensor, spatial_shapes: SpatialShapes) -> Tensor:
        """Predict logits (B, K, upscale * h, upscale * w), with (h, w) of the finest level, at least float32.

        Their softmax over the pixels is the probability of the keypoint's pixel.
        """
        levels = memory.split([h * w for h, w in spatial_shapes], dim=1)
        logits = []
        for classifier, tokens, shape in zip(self.classifiers, levels, spatial_shapes):
            level = tokens_to_maps(classifier(tokens), [shape])[0]  # (B, K * upscale^2, h_l, w_l)
            level = level.to(torch.promote_types(level.dtype, torch.float32))
            logits.append(F.interpolate(level, size=spatial_shapes[0], mode="bilinear", align_corners=False))
        return F.pixel_shuffle(sum(logits[1:], logits[0]), self.upscale)

    def loss(self, proposal: Proposal, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """The loss of the maps, for labels (B, K, 2), (x, y) in [0, 1], and weights (B, K)."""
        return {"loss_keypoint_maps": self.loss_module(proposal.maps, labels, weights)}

    def scores(self, maps: Tensor, coordinates: Tensor) -> Tensor:
        """The probability of the maps in the window around coordinates (B, K, 2): (B, K), in [0, 1]."""
        return probability_near(maps, coordinates, self.radius)

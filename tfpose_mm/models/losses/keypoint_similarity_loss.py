"""A loss that is one minus COCO's keypoint similarity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...errors import UserError
from ...host.xtcocotools import BOX_AREA


@MODELS.register_module()
class KeypointSimilarityLoss(nn.Module):
    """1 - exp(-d^2 / (2 (2 sigma)^2 area)), the OKS loss of top-down regression.

    Its gradient vanishes for large errors, unlike that of L1. The labels do not contain the area of the person, so the
    loss uses the same area for every person: 0.53 x (w / padding) x (h / padding) square pixels of the input. MMPose
    uses the factor 0.53 for annotations without an area.

    Source: YOLO-Pose. Group Pose, ED-Pose and DETRPose use this loss together with L1.

    Args:
        sigmas: The K sigmas of the data set.
        input_size: Width and height of the model's input in pixels.
        padding: The input is the box enlarged by this factor. Defaults to MMPose's 1.25.
        loss_weight: Weight of the loss. Defaults to 1.
    """

    def __init__(
        self, sigmas: Sequence[float], input_size: tuple[int, int], padding: float = 1.25, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        size = torch.tensor([float(side) for side in input_size])
        area = BOX_AREA * float((size / padding).prod())
        variances = (2 * torch.tensor([float(sigma) for sigma in sigmas])) ** 2 * area
        self.register_buffer("size", size, persistent=False)
        self.register_buffer("variances", variances, persistent=False)
        self.loss_weight = loss_weight

    def forward(self, prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            prediction: (B, K, 2), (x, y) in [0, 1].
            target: (B, K, 2), (x, y) in [0, 1].
            weight: (B, K).

        Returns:
            A scalar: the mean over images and keypoints; a keypoint of weight 0 adds nothing to the sum.

        Raises:
            UserError: If the number of keypoints differs from the number of sigmas.
        """
        if prediction.shape[1] != len(self.variances):
            raise UserError(
                f"KeypointSimilarityLoss has {len(self.variances)} sigmas, but the head predicts {prediction.shape[1]} "
                "keypoints: give the sigmas of the data set."
            )
        squared = ((prediction - target) * (self.size - 1)).square().sum(-1)
        return self.loss_weight * ((1 - torch.exp(-squared / (2 * self.variances))) * weight).mean()

"""The loss of keypoint maps on tokens."""

from __future__ import annotations

from mmpose.registry import MODELS
from torch import Tensor, nn

from ..layers import gaussian_targets


@MODELS.register_module()
class KeypointMapLoss(nn.Module):
    """Cross-entropy between the softmax of each map and a Gaussian around the annotated keypoint.

    Args:
        sigma: Standard deviation of the Gaussian in pixels of the map. Defaults to 1.
        loss_weight: Weight of the loss. Defaults to 1.
    """

    def __init__(self, sigma: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.sigma = sigma
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: (B, K, h, w).
            labels: (B, K, 2), (x, y) in [0, 1].
            weights: (B, K).

        Returns:
            A scalar: the mean over images and keypoints; a keypoint of weight 0 adds nothing to the sum.
        """
        targets = gaussian_targets(labels, logits.shape[-2], logits.shape[-1], self.sigma)
        entropy = -(targets * logits.flatten(2).log_softmax(-1).view_as(logits)).sum((-2, -1))
        return self.loss_weight * (entropy * weights).mean()

"""The loss of TFPose: every decoder layer's coordinates, and auxiliary heat maps."""

from __future__ import annotations

from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ...errors import UserError


@MODELS.register_module()
class TFPoseLoss(nn.Module):
    """L = sum over layers of L1(y, y_d) + lambda * MSE(H, H^).

    Both terms are losses of MMPose, averaged as in MMPose: L1 over images, joints and axes, MSE over images, joints and
    pixels. A joint of weight 0 adds nothing to the sum and gets no gradient, but it counts in the mean.

    Source: TFPose, eq. (5), (6) and (7); lambda in section 4.1.

    Args:
        reg_loss: Loss of one layer's coordinates, called as (prediction, target, weight). Defaults to L1.
        aux_loss: Loss of the heat maps, called as (prediction, target, weight). Defaults to the mean squared error.
        aux_weight: lambda of eq. (7). Defaults to 50.
    """

    def __init__(
        self,
        reg_loss: ConfigType = dict(type="L1Loss", use_target_weight=True),  # noqa: B006 - read only, as in MMPose
        aux_loss: ConfigType = dict(type="KeypointMSELoss", use_target_weight=True),  # noqa: B006 - as above
        aux_weight: float = 50.0,
    ) -> None:
        super().__init__()
        self.reg_loss = MODELS.build(reg_loss)
        self.aux_loss = MODELS.build(aux_loss)
        self.aux_weight = aux_weight

    def forward(
        self,
        coordinates: Tensor,
        keypoint_labels: Tensor,
        keypoint_weights: Tensor,
        heatmaps: Tensor | None = None,
        heatmap_targets: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the loss terms; MMEngine sums them.

        Args:
            coordinates: y_1 .. y_{N_D}, (N_D, B, K, 2), (x, y) in [0, 1].
            keypoint_labels: y, (B, K, 2), (x, y) in [0, 1].
            keypoint_weights: (B, K).
            heatmaps: H^, (B, K, H, W), or ``None`` without the auxiliary branch.
            heatmap_targets: H, (B, K, H, W).

        Returns:
            ``loss_kpt_layer1`` .. for all layers but the last, ``loss_kpt`` for the last and, with heat maps,
            ``loss_heatmap``, which includes lambda.

        Raises:
            UserError: If predicted and target heat maps differ in shape.
        """
        names = [f"loss_kpt_layer{layer}" for layer in range(1, len(coordinates))] + ["loss_kpt"]
        losses = {
            name: self.reg_loss(layer, keypoint_labels, keypoint_weights) for name, layer in zip(names, coordinates)
        }
        if heatmaps is not None:
            if heatmap_targets is None or heatmaps.shape != heatmap_targets.shape:
                target = None if heatmap_targets is None else tuple(heatmap_targets.shape)
                raise UserError(
                    f"The auxiliary branch predicts heat maps of shape {tuple(heatmaps.shape)} (B, K, H, W), but the "
                    f"targets have {target}: set the codec's heatmap_size to the size of the prediction, or "
                    "the head's aux_branch to False."
                )
            losses["loss_heatmap"] = self.aux_weight * self.aux_loss(heatmaps, heatmap_targets, keypoint_weights)
        return losses

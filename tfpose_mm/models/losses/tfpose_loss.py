"""The loss of TFPose: every decoder layer's coordinates, and auxiliary heat maps."""

from __future__ import annotations

from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn


@MODELS.register_module()
class TFPoseLoss(nn.Module):
    """L = sum over layers of L1(y, y_d) + lambda * MSE(H, H^).

    Both terms are MMPose's and carry MMPose's means: L1 over images, joints and axes, MSE over images, joints and
    pixels. A joint of weight 0 adds nothing and gets no gradient; it still counts in the mean.

    Beyond the paper, a head that predicts sigma is trained by residual log-likelihood estimation (RLE, Li et al., ICCV
    2021): on the last layer or on all of them, ``sigma_weight`` x RLE, as a mean over joints and axes, takes the place
    of L1.

    Source: TFPose, eq. (5), (6) and (7); lambda in section 4.1.

    Args:
        reg_loss: Loss of one layer's coordinates, called as (prediction, target, weight). Defaults to L1.
        aux_loss: Loss of the heat maps, called as (prediction, target, weight). Defaults to the mean squared error.
        aux_weight: lambda of eq. (7). Defaults to 50.
        sigma_loss: Loss of coordinates and sigma, called as (prediction, logits of sigma, target, weight) and summed
            over joints and axes. Defaults to MMPose's ``RLELoss`` if ``sigma_layers`` is given.
        sigma_layers: ``"last"`` or ``"all"``, the layers that it is on. Defaults to ``None``, for a head without sigma.
        sigma_weight: Its weight. The default of 0.05 makes its gradient about as large as L1's: sigma is about that.

    Raises:
        ValueError: If ``sigma_layers`` is something else, here; if the head predicts sigma and no layer is trained for
            it, or the reverse, in :meth:`forward`.
    """

    def __init__(
        self,
        reg_loss: ConfigType = dict(type="L1Loss", use_target_weight=True),  # noqa: B006 - read only, as in MMPose
        aux_loss: ConfigType = dict(type="KeypointMSELoss", use_target_weight=True),  # noqa: B006 - as above
        aux_weight: float = 50.0,
        sigma_layers: str | None = None,
        sigma_loss: ConfigType = dict(type="RLELoss", use_target_weight=True),  # noqa: B006 - as above
        sigma_weight: float = 0.05,
    ) -> None:
        super().__init__()
        if sigma_layers not in (None, "last", "all"):
            raise ValueError(f"TFPoseLoss needs sigma_layers of 'last', 'all' or None, but got {sigma_layers!r}.")
        self.reg_loss = MODELS.build(reg_loss)
        self.aux_loss = MODELS.build(aux_loss)
        self.aux_weight = aux_weight
        self.sigma_layers = sigma_layers
        self.sigma_loss = None if sigma_layers is None else MODELS.build(sigma_loss)
        self.sigma_weight = sigma_weight

    def forward(
        self,
        coordinates: Tensor,
        keypoint_labels: Tensor,
        keypoint_weights: Tensor,
        heatmaps: Tensor | None = None,
        heatmap_targets: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the terms, which MMEngine sums.

        Args:
            coordinates: y_1 .. y_{N_D}, (N_D, B, K, 2), (x, y) in [0, 1]; with sigma (N_D, B, K, 4), the last two being
                its logits.
            keypoint_labels: y, (B, K, 2), (x, y) in [0, 1].
            keypoint_weights: (B, K).
            heatmaps: H^, (B, K, H, W), or ``None`` without the auxiliary branch.
            heatmap_targets: H, (B, K, H, W).

        Returns:
            ``d0.loss_kpt`` .. for the layers but the last, ``loss_kpt`` for the last and, with heat maps,
            ``loss_heatmap``, lambda included.

        Raises:
            ValueError: If predicted and target heat maps differ in shape, or sigma is predicted and not trained or the
                reverse.
        """
        has_sigma = coordinates.shape[-1] == 4
        if has_sigma != (self.sigma_loss is not None):
            raise ValueError(
                f"TFPoseLoss has sigma_layers={self.sigma_layers!r}, but the head has sigma={has_sigma}: set both, or "
                "neither."
            )
        number = len(coordinates)
        *earlier, last = (
            self._regression(layer, keypoint_labels, keypoint_weights, is_last=index == number - 1)
            for index, layer in enumerate(coordinates)
        )
        losses = {f"d{index}.loss_kpt": loss for index, loss in enumerate(earlier)}
        losses["loss_kpt"] = last
        if heatmaps is not None:
            if heatmap_targets is None or heatmaps.shape != heatmap_targets.shape:
                target = None if heatmap_targets is None else tuple(heatmap_targets.shape)
                raise ValueError(
                    f"The auxiliary branch predicts heat maps of shape {tuple(heatmaps.shape)} (B, K, H, W), but the "
                    f"targets have {target}: set the codec's heatmap_size to what the branch predicts, or the head's "
                    "aux_branch to False."
                )
            losses["loss_heatmap"] = self.aux_weight * self.aux_loss(heatmaps, heatmap_targets, keypoint_weights)
        return losses

    def _regression(self, layer: Tensor, labels: Tensor, weights: Tensor, is_last: bool) -> Tensor:
        """The loss of one layer's coordinates (B, K, 2), or of these and sigma (B, K, 4)."""
        prediction, sigma = layer[..., :2], layer[..., 2:]
        if self.sigma_layers == "all" or (self.sigma_layers == "last" and is_last):
            weight = weights.unsqueeze(-1)  # (B, K, 1)
            summed = self.sigma_loss(prediction, sigma, labels, weight)
            return self.sigma_weight * summed / labels[0].numel()
        return self.reg_loss(prediction, labels, weights)

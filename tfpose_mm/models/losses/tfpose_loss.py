"""The loss of TFPose: every decoder layer's coordinates, and auxiliary heat maps."""

from __future__ import annotations

from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor, nn

from ...errors import UserError

# Lowest logit of sigma in the loss: 6e-6, or 0.002 pixels of 256. RLELoss takes the logarithm of sigma, which is
# infinite where the sigmoid gives 0.
MIN_SIGMA = -12.0


@MODELS.register_module()
class TFPoseLoss(nn.Module):
    """L = sum over layers of L1(y, y_d) + lambda * MSE(H, H^).

    Both terms are losses of MMPose, averaged as in MMPose: L1 over images, joints and axes, MSE over images, joints and
    pixels. A joint of weight 0 adds nothing to the sum and gets no gradient, but it counts in the mean.

    This is not in the paper: a head that predicts sigma is trained with residual log-likelihood estimation (RLE, Li et
    al., ICCV 2021). On the last layer or on all layers, ``sigma_weight`` x RLE, averaged over joints and axes, replaces
    L1.

    Source: TFPose, eq. (5), (6) and (7); lambda in section 4.1.

    Args:
        reg_loss: Loss of one layer's coordinates, called as (prediction, target, weight). Defaults to L1.
        aux_loss: Loss of the heat maps, called as (prediction, target, weight). Defaults to the mean squared error.
        aux_weight: lambda of eq. (7). Defaults to 50.
        sigma_loss: Loss of coordinates and sigma, called as (prediction, logits of sigma, target, weight) and summed
            over joints and axes. Defaults to MMPose's ``RLELoss`` if ``sigma_layers`` is given.
        sigma_layers: Layers with ``sigma_loss``: ``"last"`` or ``"all"``. Defaults to ``None``, without sigma.
        sigma_weight: Weight of ``sigma_loss``. With 0.05, which is about sigma, its gradient is about as large as L1's.
        similarity_loss: A further loss of every layer's coordinates, such as :class:`KeypointSimilarityLoss`; it is
            logged as ``loss_oks_layer1`` .. and ``loss_oks``. Defaults to ``None``, as in the paper.

    Raises:
        UserError: On construction, if ``sigma_layers`` has another value. In :meth:`forward`, if the head predicts
            sigma but no layer is trained for it, or the reverse.
    """

    def __init__(
        self,
        reg_loss: ConfigType = dict(type="L1Loss", use_target_weight=True),  # noqa: B006 - read only, as in MMPose
        aux_loss: ConfigType = dict(type="KeypointMSELoss", use_target_weight=True),  # noqa: B006 - as above
        aux_weight: float = 50.0,
        sigma_layers: str | None = None,
        sigma_loss: ConfigType = dict(type="RLELoss", use_target_weight=True),  # noqa: B006 - as above
        sigma_weight: float = 0.05,
        similarity_loss: ConfigType | None = None,
    ) -> None:
        super().__init__()
        if sigma_layers not in (None, "last", "all"):
            raise UserError(f"TFPoseLoss needs sigma_layers of 'last', 'all' or None, but got {sigma_layers!r}.")
        self.reg_loss = MODELS.build(reg_loss)
        self.aux_loss = MODELS.build(aux_loss)
        self.aux_weight = aux_weight
        self.sigma_layers = sigma_layers
        self.sigma_loss = None if sigma_layers is None else MODELS.build(sigma_loss)
        self.sigma_weight = sigma_weight
        self.similarity_loss = None if similarity_loss is None else MODELS.build(similarity_loss)

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
            coordinates: y_1 .. y_{N_D}, (N_D, B, K, 2), (x, y) in [0, 1]; with sigma (N_D, B, K, 4), where the
                last two channels are the logits of sigma.
            keypoint_labels: y, (B, K, 2), (x, y) in [0, 1].
            keypoint_weights: (B, K).
            heatmaps: H^, (B, K, H, W), or ``None`` without the auxiliary branch.
            heatmap_targets: H, (B, K, H, W).

        Returns:
            ``loss_kpt_layer1`` .. for all layers but the last, ``loss_kpt`` for the last and, with heat maps,
            ``loss_heatmap``, which includes lambda.

        Raises:
            UserError: If predicted and target heat maps differ in shape, or if sigma is predicted but not trained, or
                the reverse.
        """
        has_sigma = coordinates.shape[-1] == 4
        if has_sigma != (self.sigma_loss is not None):
            raise UserError(
                f"TFPoseLoss has sigma_layers={self.sigma_layers!r}, but the head has sigma={has_sigma}: set both, or "
                "neither."
            )
        number = len(coordinates)
        names = [f"_layer{layer}" for layer in range(1, number)] + [""]
        losses = {
            f"loss_kpt{name}": self._regression(layer, keypoint_labels, keypoint_weights, is_last=not name)
            for name, layer in zip(names, coordinates)
        }
        if self.similarity_loss is not None:
            for name, layer in zip(names, coordinates):
                losses[f"loss_oks{name}"] = self.similarity_loss(layer[..., :2], keypoint_labels, keypoint_weights)
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

    def _regression(self, layer: Tensor, labels: Tensor, weights: Tensor, is_last: bool) -> Tensor:
        """The loss of one layer's coordinates (B, K, 2), or of these and sigma (B, K, 4)."""
        prediction, sigma = layer[..., :2], layer[..., 2:]
        if self.sigma_loss is not None and (self.sigma_layers == "all" or is_last):
            weight = weights.unsqueeze(-1)  # (B, K, 1)
            summed = self.sigma_loss(prediction, sigma.clamp(min=MIN_SIGMA), labels, weight)
            return self.sigma_weight * summed / labels[0].numel()
        return self.reg_loss(prediction, labels, weights)

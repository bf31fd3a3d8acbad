"""TFPose with a first stage: the decoder starts at the maxima of keypoint maps."""

from __future__ import annotations

from functools import partial
from typing import Sequence

from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor

from ..layers import TwoStageDecoder, maps_to_tokens
from .tfpose_head import TFPoseHead


@MODELS.register_module()
class TwoStageTFPoseHead(TFPoseHead):
    """A :class:`TFPoseHead` whose decoder is a :class:`TwoStageDecoder`.

    Not in the paper: see ``docs/method.md``. y_0 and the content of the queries depend on the image, the position of a
    query follows its coordinates, and values have a position. The keypoint maps of the first stage have a loss of their
    own.

    Args:
        in_channels: See :class:`TFPoseHead`.
        num_joints: See :class:`TFPoseHead`.
        first_stage: Arguments of :class:`TwoStageDecoder`, for example ``dict(pooled_content=False)``. Defaults to
            ``None``, which uses all parts.
        map_loss: Loss of the keypoint maps, called with logits (B, K, h, w), labels (B, K, 2) and weights (B, K). It is
            logged as ``loss_keypoint_maps``. Defaults to :class:`KeypointMapLoss`.
        **kwargs: Arguments of :class:`TFPoseHead`.

    Raises:
        UserError: See :class:`TFPoseHead`.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_joints: int,
        first_stage: ConfigType | None = None,
        map_loss: ConfigType = dict(type="KeypointMapLoss"),  # noqa: B006 - read only, as in MMPose
        **kwargs: object,
    ) -> None:
        self.decoder_class = partial(TwoStageDecoder, **(first_stage or {}))
        super().__init__(in_channels, num_joints, **kwargs)
        self.map_loss = MODELS.build(map_loss)

    def _decode_with_losses(
        self, maps: Sequence[Tensor], labels: Tensor, weights: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        memory, spatial_shapes = maps_to_tokens(maps)
        proposal = self.transformer_decoder.propose(memory, spatial_shapes)
        coordinates = self.transformer_decoder(memory, spatial_shapes, self.reg_branches, proposal=proposal)
        return coordinates, {"loss_keypoint_maps": self.map_loss(proposal.logits, labels, weights)}

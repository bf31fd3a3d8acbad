"""TFPose with a first stage: y_0 depends on the image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType
from torch import Tensor

from ...errors import UserError
from ..layers import Proposal, SpatialShapes, TwoStageDecoder, maps_to_tokens
from .first_stages import KeypointMapStage
from .tfpose_head import TFPoseHead


@MODELS.register_module()
class TwoStageTFPoseHead(TFPoseHead):
    """A :class:`TFPoseHead` whose decoder is a :class:`TwoStageDecoder`.

    Not in the paper: see ``docs/method.md``.

    Args:
        in_channels: See :class:`TFPoseHead`.
        num_joints: See :class:`TFPoseHead`.
        first_stage: Config of :class:`KeypointMapStage`, the default, or :class:`RegressionStage`.
        refinement: Arguments of :class:`TwoStageDecoder` after ``first_stage``, for example
            ``dict(reference_position=True)``. Defaults to none.
        noise_groups: Groups of further queries that are trained from a noisy y_0, as in Poseur. Inference does not use
            them. Defaults to 0; Poseur has 3.
        noise_std: Standard deviation of the noise, in widths and heights of the input. Defaults to 0.2, as in Poseur.
        noise_fraction: Fraction of the keypoints with noise. Defaults to 12/51, as in Poseur.
        **kwargs: Arguments of :class:`TFPoseHead`.

    Raises:
        UserError: See :class:`TFPoseHead`.
    """

    scores = (*TFPoseHead.scores, "keypoint_map")

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_joints: int,
        first_stage: ConfigType = dict(type="KeypointMapStage"),  # noqa: B006 - read only, as in MMPose
        refinement: ConfigType | None = None,
        noise_groups: int = 0,
        noise_std: float = 0.2,
        noise_fraction: float = 12 / 51,
        **kwargs: Any,  # noqa: ANN401 - the arguments of a config
    ) -> None:
        self.decoder_class = partial(self._build_decoder, first_stage, refinement or {})
        super().__init__(in_channels, num_joints, **kwargs)
        self.noise_groups = noise_groups
        self.noise_std = noise_std
        self.noise_fraction = noise_fraction

    @staticmethod
    def _build_decoder(first_stage: dict, refinement: dict, **kwargs: Any) -> TwoStageDecoder:  # noqa: ANN401
        sizes = {name: kwargs[name] for name in ("embed_dims", "num_keypoints", "num_levels")}
        return TwoStageDecoder(first_stage=MODELS.build(dict(first_stage, **sizes)), **refinement, **kwargs)

    def _decode_views(
        self, views: Sequence[Sequence[Tensor]], flip_indices: Sequence[int] | None
    ) -> tuple[list[Tensor], Tensor | None]:
        """With keypoint maps, the decoders of both views start at the maxima of the mean of their maps."""
        decoder = self.transformer_decoder
        stage = decoder.first_stage
        if not isinstance(stage, KeypointMapStage):
            return super()._decode_views(views, flip_indices)
        tokens = [maps_to_tokens(view) for view in views]
        logits = [stage.maps(*view) for view in tokens]
        if flip_indices is not None:
            self._check_num_joints("flip_indices", len(flip_indices))
            mean = (logits[0] + flip_heatmaps(logits[1], flip_indices=flip_indices, shift_heatmap=False)) / 2
            logits = [mean, flip_heatmaps(mean, flip_indices=flip_indices, shift_heatmap=False)]
        proposals = [stage(*view, maps) for view, maps in zip(tokens, logits)]
        outputs = [
            decoder(*view, self.reg_branches, proposal=proposal)[-1] for view, proposal in zip(tokens, proposals)
        ]
        return outputs, logits[0]

    def _check_scoring(self, scoring: str | None, output_heatmaps: bool) -> None:
        super()._check_scoring(scoring, output_heatmaps)
        stage = self.transformer_decoder.first_stage
        if scoring == "keypoint_map" and not isinstance(stage, KeypointMapStage):
            raise UserError(f"A {type(stage).__name__} has no keypoint maps: use other keypoint_scores.")

    def _decode_with_losses(
        self, maps: Sequence[Tensor], labels: Tensor, weights: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        memory, spatial_shapes = maps_to_tokens(maps)
        stage = self.transformer_decoder.first_stage
        proposal = stage(memory, spatial_shapes)
        coordinates = self.transformer_decoder(memory, spatial_shapes, self.reg_branches, proposal=proposal)
        losses = stage.loss(proposal.prediction, labels, weights)
        if self.noise_groups:
            losses.update(self._noise_losses(memory, spatial_shapes, proposal, labels, weights))
        return coordinates, losses

    def _noise_losses(
        self, memory: Tensor, spatial_shapes: SpatialShapes, proposal: Proposal, labels: Tensor, weights: Tensor
    ) -> dict[str, Tensor]:
        """The losses of the decoder that starts from a noisy y_0: ``loss_noise_kpt_layer1`` .. and so on.

        A group is a further image of the batch, so the queries of a group attend to each other only.
        """

        def repeat(tensor: Tensor) -> Tensor:
            return tensor.repeat_interleave(self.noise_groups, dim=0)

        start = repeat(proposal.coordinates)
        noise = self.noise_std * torch.randn_like(start)
        chosen = torch.rand_like(start[..., :1]) < self.noise_fraction
        noisy = (start + noise * chosen).clamp(0, 1)
        content = None if proposal.content is None else repeat(proposal.content)
        proposal = proposal._replace(coordinates=start, content=content)
        proposal = self.transformer_decoder.first_stage.move(proposal, noisy)
        coordinates = self.transformer_decoder(repeat(memory), spatial_shapes, self.reg_branches, proposal=proposal)
        losses = self.loss_module(coordinates, repeat(labels), repeat(weights))
        return {name.replace("loss_", "loss_noise_", 1): loss for name, loss in losses.items()}

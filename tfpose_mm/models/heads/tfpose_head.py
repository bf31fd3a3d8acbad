"""The transformer decoder of TFPose as an MMPose head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import torch
from mmengine.model import ModuleList
from mmengine.structures import PixelData
from mmpose.models.heads import HeatmapHead
from mmpose.models.heads.base_head import BaseHead
from mmpose.models.necks import ChannelMapper
from mmpose.models.utils.tta import flip_coordinates, flip_heatmaps
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.utils.tensor_utils import to_numpy
from mmpose.utils.typing import ConfigType, Features, OptConfigType, OptMultiConfig, OptSampleList, Predictions
from torch import Tensor

from ...errors import UserError
from ..layers import (
    DecoderLayerRecord,
    DecoderRecords,
    DeformableTransformerDecoder,
    RegressionBranch,
    check_feature_maps,
    check_norm,
    check_num_heads,
    check_positive,
    maps_to_tokens,
    pck_accuracy,
    probability_near,
    sample_heatmaps,
)


@MODELS.register_module()
class TFPoseHead(BaseHead):
    """K learned queries read the memory and refine K coordinates, layer by layer.

    The head takes one map or a pyramid of maps, of a :class:`DeformableTransformerNeck`, another neck or a backbone.
    Maps without ``embed_dims`` channels are projected first.

    Source: TFPose, section 3.3 (decoder, eq. 4) and section 3.4 (auxiliary branch, training only).

    Args:
        in_channels: Channels of each input map, fine to coarse; an int means ``num_levels`` maps of as many channels.
        num_joints: Keypoints K.
        num_levels: Number of input maps; follows from ``in_channels`` if that is a sequence. Defaults to 3.
        embed_dims: Channels C of the queries. Defaults to 256.
        num_layers: Decoder layers N_D. Defaults to 6.
        num_heads: Attention heads; they must divide C. Defaults to 8.
        num_points: Sampling points of a head on a level. Defaults to 4.
        feedforward_channels: Hidden channels of the FFN. Defaults to 1024.
        dropout: Dropout of the decoder. Defaults to 0.1, as in Deformable DETR.
        query_attention: Whether keypoint queries attend to each other ("q2q" of Table 1). Defaults to ``True``.
        sigma: Whether to predict the uncertainty of each coordinate, beyond the paper; the loss needs ``sigma_layers``.
            Defaults to ``False``.
        aux_branch: Whether to predict heat maps from the last (coarsest) map in training ("aux" of Table 4).
            Defaults to ``True``.
        deconv_out_channels: Channels of the deconvolutions of the auxiliary branch, each of which doubles the size.
            Defaults to three of 256: a stride of 32 becomes 4.
        deconv_kernel_sizes: Their kernels. Defaults to 4 each.
        norm_cfg: Norm after the projection of maps without C channels. Defaults to group norm with 32 groups.
        attn_implementation: ``"cuda"``, ``"gather"`` or ``"grid_sample"``, see
            :func:`tfpose_mm.ops.multi_scale_deformable_attention`. Defaults to ``None``, the default of the device.
        loss: A loss that is called as :class:`TFPoseLoss`, which is the default, with lambda 50.
        decoder: The codec, as MMPose names it; :class:`TFPoseLabel`. Defaults to ``None``, which cannot decode.
        init_cfg: MMEngine's initialisation of the whole head. Defaults to ``None``.

    Raises:
        UserError: If sizes do not fit together, here or at the first batch.
    """

    decoder_class: Callable[..., DeformableTransformerDecoder] = DeformableTransformerDecoder
    scores: tuple[str | None, ...] = (None, "heatmap", "sigma")

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_joints: int,
        num_levels: int = 3,
        embed_dims: int = 256,
        num_layers: int = 6,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        dropout: float = 0.1,
        query_attention: bool = True,
        sigma: bool = False,
        aux_branch: bool = True,
        deconv_out_channels: Sequence[int] | None = (256, 256, 256),
        deconv_kernel_sizes: Sequence[int] | None = (4, 4, 4),
        norm_cfg: ConfigType | None = dict(type="GN", num_groups=32),  # noqa: B006 - read only, as in MMPose
        attn_implementation: str | None = None,
        loss: ConfigType = dict(type="TFPoseLoss"),  # noqa: B006 - read only, as in MMPose
        decoder: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        check_num_heads("TFPoseHead", embed_dims, num_heads)
        levels = [in_channels] * num_levels if isinstance(in_channels, int) else list(in_channels)
        check_positive(
            "TFPoseHead", num_joints=num_joints, num_layers=num_layers, num_points=num_points, levels=len(levels)
        )
        self.in_channels = in_channels
        self.num_joints = num_joints
        self.sigma = sigma
        self.level_channels = levels
        self.loss_module = MODELS.build(loss)
        if hasattr(self.loss_module, "sigma_layers") and (self.loss_module.sigma_layers is not None) != sigma:
            raise UserError(
                f"TFPoseHead has sigma={sigma}, but its loss sigma_layers={self.loss_module.sigma_layers!r}: set both, "
                "as in sigma=True and sigma_layers='all', or neither."
            )
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)

        self.input_proj = None
        if any(channels != embed_dims for channels in levels):
            check_norm("TFPoseHead", embed_dims, norm_cfg)
            self.input_proj = ChannelMapper(levels, embed_dims, kernel_size=1, norm_cfg=norm_cfg, act_cfg=None)
        self.transformer_decoder = self.decoder_class(
            num_keypoints=num_joints,
            num_layers=num_layers,
            embed_dims=embed_dims,
            num_levels=len(levels),
            num_heads=num_heads,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
            dropout=dropout,
            query_attention=query_attention,
            attn_implementation=attn_implementation,
        )
        self.reg_branches = ModuleList(RegressionBranch(embed_dims, sigma) for _ in range(num_layers))
        self.aux_branch = None
        if aux_branch:
            self.aux_branch = HeatmapHead(
                in_channels=embed_dims,
                out_channels=num_joints,
                deconv_out_channels=deconv_out_channels,
                deconv_kernel_sizes=deconv_kernel_sizes,
            )

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Predict the coordinates.

        Args:
            feats: (B, C_l, h_l, w_l) for each level, fine to coarse.

        Returns:
            The coordinates of the last layer, (B, K, 2), (x, y) in [0, 1], in the codec's label units.
        """
        return self._decode_layers(self.project(feats))[-1][..., :2]

    def forward_with_records(self, feats: Sequence[Tensor]) -> tuple[Tensor, DecoderRecords]:
        """Return the coordinates of :meth:`forward`, and what each decoder layer attended to and predicted."""
        memory, spatial_shapes = maps_to_tokens(self.project(feats))
        layers: list[DecoderLayerRecord] = []
        refined = self.transformer_decoder(memory, spatial_shapes, self.reg_branches, layers)[..., :2]
        initial = self.transformer_decoder.initial_coordinates(memory, spatial_shapes)[None]
        return refined[-1], DecoderRecords(spatial_shapes, torch.cat([initial, refined]), tuple(layers))

    def forward_heatmaps(self, feats: Sequence[Tensor]) -> Tensor:
        """Predict the auxiliary heat maps (B, K, H, W), which inference does not need by default.

        Raises:
            UserError: If the head has no auxiliary branch.
        """
        if self.aux_branch is None:
            raise UserError("This TFPoseHead has no auxiliary branch: build it with aux_branch=True.")
        return self.aux_branch(self.project(feats)[-1:])

    def predict(
        self,
        feats: Features,
        batch_data_samples: OptSampleList,
        test_cfg: OptConfigType = None,
    ) -> Predictions:
        """Predict keypoints in input space.

        Args:
            feats: Maps as in :meth:`forward`; with ``flip_test`` a list of two such, of image and mirrored image.
            batch_data_samples: The data samples; with ``flip_test`` they hold ``flip_indices`` and ``input_size``.
            test_cfg: ``flip_test``; ``shift_coords`` (default ``False``, right for :class:`TFPoseLabel`, whose
                mirrored label is 1 - x); ``output_heatmaps`` (default ``False``) adds the auxiliary heat maps;
                ``keypoint_scores``: ``None`` (the default) gives every keypoint the score 1.0, as the paper does;
                ``"heatmap"`` is the value of the auxiliary heat map at the predicted point; ``"sigma"`` is 1 - sigma,
                for a head with ``sigma=True``.

        Returns:
            For each image an ``InstanceData`` with keypoints (1, K, 2) and keypoint_scores (1, K); with
            ``output_heatmaps`` also a list of ``PixelData`` with heatmaps (K, H, W).

        Raises:
            UserError: If K differs from the data set's, or the head cannot output the heat maps or scores.
        """
        test_cfg = test_cfg or {}
        metainfo = batch_data_samples[0].metainfo if test_cfg.get("flip_test", False) else {}
        coordinates, scores, heatmaps = self.predict_tensors(feats, metainfo, test_cfg)
        preds = self.decode(coordinates.unsqueeze(1))
        if scores is not None:
            for pred, score in zip(preds, to_numpy(scores)):
                pred.keypoint_scores = score[None]
        if heatmaps is not None and test_cfg.get("output_heatmaps", False):
            return preds, [PixelData(heatmaps=maps) for maps in heatmaps.detach()]
        return preds

    def predict_tensors(
        self, feats: Features, metainfo: dict, test_cfg: ConfigType
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Predict as :meth:`predict`, but return tensors. Exported models need it.

        Args:
            feats: See :meth:`predict`.
            metainfo: With ``flip_test``, ``flip_indices`` and ``input_size``.
            test_cfg: See :meth:`predict`.

        Returns:
            Coordinates (B, K, 2), (x, y) in [0, 1], label units; scores (B, K), ``None`` if all are 1.0; and auxiliary
            heat maps (B, K, H, W), ``None`` without ``output_heatmaps``, unless the scores are read from them.

        Raises:
            UserError: See :meth:`predict`.
        """
        scoring, output_heatmaps = test_cfg.get("keypoint_scores"), test_cfg.get("output_heatmaps", False)
        self._check_scoring(scoring, output_heatmaps)
        flip_test = test_cfg.get("flip_test", False)
        views = [self.project(view) for view in (feats if flip_test else [feats])]
        outputs, keypoint_maps = self._decode_views(views, metainfo["flip_indices"] if flip_test else None)
        coordinates = [output[..., :2] for output in outputs]
        sigmas = [output[..., 2:].sigmoid() for output in outputs]  # (B, K, 0) without sigma
        heatmaps = []
        if self.aux_branch is not None and (output_heatmaps or scoring == "heatmap"):
            heatmaps = [self.aux_branch(view[-1:]).float() for view in views]
        if flip_test:
            self._flip_back((coordinates, sigmas, heatmaps), metainfo, test_cfg)
        mean_coordinates, mean_sigmas = (sum(view[1:], view[0]) / len(view) for view in (coordinates, sigmas))
        mean_heatmaps = sum(heatmaps[1:], heatmaps[0]) / len(heatmaps) if heatmaps else None
        scores = None
        if scoring == "heatmap" and mean_heatmaps is not None:
            scores = sample_heatmaps(mean_heatmaps, mean_coordinates)
        elif scoring == "sigma":
            scores = 1 - mean_sigmas.mean(-1)
        elif scoring == "keypoint_map" and keypoint_maps is not None:
            radius = self.transformer_decoder.first_stage.radius
            scores = probability_near(keypoint_maps, mean_coordinates, radius)
        return mean_coordinates, scores, mean_heatmaps

    def loss(
        self,
        feats: Sequence[Tensor],
        batch_data_samples: OptSampleList,
        train_cfg: OptConfigType = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            feats: Maps as in :meth:`forward`.
            batch_data_samples: Samples with ``gt_instance_labels`` (keypoint_labels (1, K, 2), keypoint_weights
                (1, K)) and, for the auxiliary branch, ``gt_fields.heatmaps`` (K, H, W).
            train_cfg: ``compute_acc`` (default ``True``, as in MMPose's regression heads) adds ``acc_pose``, the PCK
                with a threshold of 0.05 in label units.

        Returns:
            The losses of :class:`TFPoseLoss`, and ``acc_pose``.

        Raises:
            UserError: If K differs from the data set's, or heat maps are missing or of another size.
        """
        labels = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in batch_data_samples])
        weights = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in batch_data_samples])
        self._check_num_joints("keypoint labels", labels.shape[1])

        maps = self.project(feats)
        coordinates, extra_losses = self._decode_with_losses(maps, labels, weights)
        heatmaps = targets = None
        if self.aux_branch is not None:
            heatmaps = self.aux_branch(maps[-1:])
            if all("heatmaps" in (sample.get("gt_fields") or ()) for sample in batch_data_samples):
                targets = torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        losses = {**self.loss_module(coordinates, labels, weights, heatmaps, targets), **extra_losses}
        if (train_cfg or {}).get("compute_acc", True):
            losses["acc_pose"] = pck_accuracy(coordinates[-1][..., :2].detach(), labels, weights > 0)
        return losses

    def project(self, feats: Sequence[Tensor]) -> Sequence[Tensor]:
        """Check the maps, and project them to C channels if they have others.

        Args:
            feats: (B, C_l, h_l, w_l) for each level, fine to coarse.

        Returns:
            (B, C, h_l, w_l) for each level.

        Raises:
            UserError: If number or channels of the maps do not fit.
        """
        check_feature_maps("TFPoseHead", feats, self.level_channels)
        return feats if self.input_proj is None else self.input_proj(feats)

    def _decode_layers(self, maps: Sequence[Tensor]) -> Tensor:
        """The coordinates of all layers, (N_D, B, K, 2), or with sigma (N_D, B, K, 4)."""
        memory, spatial_shapes = maps_to_tokens(maps)
        return self.transformer_decoder(memory, spatial_shapes, self.reg_branches)

    def _decode_views(
        self, views: Sequence[Sequence[Tensor]], flip_indices: Sequence[int] | None
    ) -> tuple[list[Tensor], Tensor | None]:
        """The last layer's output of each view, and the first view's keypoint maps, which a subclass may have."""
        return [self._decode_layers(view)[-1] for view in views], None

    def _decode_with_losses(
        self, maps: Sequence[Tensor], labels: Tensor, weights: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The coordinates of :meth:`_decode_layers`, and further losses, which a subclass may have."""
        return self._decode_layers(maps), {}

    def _flip_back(self, outputs: Sequence[list[Tensor]], metainfo: dict, test_cfg: ConfigType) -> None:
        """Mirror coordinates, sigmas and heat maps of the second view, in their lists."""
        coordinates, sigmas, heatmaps = outputs
        flip_indices = metainfo["flip_indices"]
        self._check_num_joints("flip_indices", len(flip_indices))
        coordinates[1] = flip_coordinates(
            coordinates[1].clone(),  # MMPose changes it in place
            flip_indices=flip_indices,
            shift_coords=test_cfg.get("shift_coords", False),
            input_size=metainfo["input_size"],
        )
        sigmas[1] = sigmas[1][:, flip_indices]
        if heatmaps:
            heatmaps[1] = flip_heatmaps(heatmaps[1], flip_indices=flip_indices, shift_heatmap=False)

    def _check_num_joints(self, what: str, got: int) -> None:
        if got != self.num_joints:
            raise UserError(
                f"TFPoseHead predicts num_joints={self.num_joints} keypoints, but the data set's {what} have {got}: "
                "set num_joints to the data set's number of keypoints."
            )

    def _check_scoring(self, scoring: str | None, output_heatmaps: bool) -> None:
        if (output_heatmaps or scoring == "heatmap") and self.aux_branch is None:
            asked = "output_heatmaps" if output_heatmaps else "keypoint_scores='heatmap'"
            raise UserError(f"This TFPoseHead has no auxiliary branch to predict heat maps: remove {asked}.")
        if scoring == "sigma" and not self.sigma:
            raise UserError("This TFPoseHead predicts no sigma: train it with sigma=True, or use another score.")
        if scoring not in self.scores:
            names = f"{', '.join(map(repr, self.scores[:-1]))} or {self.scores[-1]!r}"
            raise UserError(f"{type(self).__name__} needs keypoint_scores of {names}, but got {scoring!r}.")

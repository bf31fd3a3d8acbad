"""The decoder half of TFPose as an MMPose head."""

from __future__ import annotations

from typing import Sequence

import torch
from mmengine.model import ModuleList
from mmengine.structures import PixelData
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.models.heads import HeatmapHead
from mmpose.models.heads.base_head import BaseHead
from mmpose.models.necks import ChannelMapper
from mmpose.models.utils.tta import flip_coordinates, flip_heatmaps
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.utils.tensor_utils import to_numpy
from mmpose.utils.typing import ConfigType, OptConfigType, OptMultiConfig, OptSampleList, Predictions
from torch import Tensor

from ..layers import (
    KeypointDecoder,
    RefinementBranch,
    check_feature_maps,
    check_norm,
    check_transformer_sizes,
    maps_to_tokens,
    read_heatmaps,
)

FlipFeatures = Sequence[Sequence[Tensor]]


@MODELS.register_module()
class TFPoseHead(BaseHead):
    """K learned queries that read the memory and refine K coordinates, layer by layer.

    The head takes any pyramid of maps: a :class:`DeformableTransformerNeck`'s, ``FPN``'s, a bare backbone's, one map
    or several. Maps that are not ``embed_dims`` wide are projected first.

    Source: TFPose, section 3.3 (decoder, eq. 4) and section 3.4 (auxiliary branch, training only).

    Args:
        in_channels: Channels of each input map, fine to coarse; an int means ``num_levels`` maps of that width.
        num_joints: Keypoints K.
        num_levels: Number of input maps; follows from ``in_channels`` when that is a sequence. Defaults to 3.
        embed_dims: Channels C of the queries. Defaults to 256.
        num_layers: Decoder layers N_D. Defaults to 6.
        num_heads: Attention heads; they must divide C. Defaults to 8.
        num_points: Sampling points of a head on a level. Defaults to 4.
        feedforward_channels: Hidden channels of the FFN. Defaults to 1024.
        dropout: Dropout of the decoder. Defaults to 0.1, as in Deformable DETR.
        query_attention: Whether keypoints attend to each other ("q2q" of Table 1). Defaults to ``True``.
        sigma: Whether to predict how far each coordinate may be off, beyond the paper; the loss needs ``sigma_layers``.
            Defaults to ``False``.
        aux_branch: Whether to predict heat maps from the last (coarsest) map in training ("aux" of Table 4).
            Defaults to ``True``.
        deconv_out_channels: Channels of the auxiliary branch's deconvolutions, each of which doubles the size.
            Defaults to three of 256: a stride of 32 becomes 4.
        deconv_kernel_sizes: Their kernels. Defaults to 4 each.
        norm_cfg: Norm after the projection of maps that are not C wide. Defaults to group norm with 32 groups.
        loss: A loss called as :class:`TFPoseLoss` is. Defaults to that, with lambda 50.
        decoder: The codec, as MMPose names it; :class:`TFPoseLabel`. Defaults to ``None``, which cannot decode.
        init_cfg: MMEngine's initialisation of the whole head. Defaults to ``None``.

    Raises:
        ValueError: If sizes do not fit together, here or at the first batch.
    """

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
        loss: ConfigType = dict(type="TFPoseLoss"),  # noqa: B006 - read only, as in MMPose
        decoder: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        check_transformer_sizes("TFPoseHead", embed_dims, num_heads)
        if num_layers < 1:
            raise ValueError(f"TFPoseHead needs num_layers of 1 or more, but got {num_layers}.")
        levels = [in_channels] * num_levels if isinstance(in_channels, int) else list(in_channels)
        self.in_channels = in_channels
        self.num_joints = num_joints
        self.sigma = sigma
        self.level_channels = levels
        self.loss_module = MODELS.build(loss)
        if hasattr(self.loss_module, "sigma_layers") and (self.loss_module.sigma_layers is not None) != sigma:
            raise ValueError(
                f"TFPoseHead has sigma={sigma}, but its loss sigma_layers={self.loss_module.sigma_layers!r}: set both, "
                "as in sigma=True and sigma_layers='all', or neither."
            )
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)

        self.input_proj = None
        if any(channels != embed_dims for channels in levels):
            check_norm("TFPoseHead", embed_dims, norm_cfg)
            self.input_proj = ChannelMapper(levels, embed_dims, kernel_size=1, norm_cfg=norm_cfg, act_cfg=None)
        self.transformer_decoder = KeypointDecoder(
            num_keypoints=num_joints,
            num_layers=num_layers,
            embed_dims=embed_dims,
            num_levels=len(levels),
            num_heads=num_heads,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
            dropout=dropout,
            query_attention=query_attention,
        )
        self.reg_branches = ModuleList(RefinementBranch(embed_dims, sigma) for _ in range(num_layers))
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
            The last layer's coordinates, (B, K, 2), (x, y) in [0, 1], in the codec's label units.

        Raises:
            ValueError: If the maps are not those the head was built for.
        """
        return self._decode_layers(self._project(feats))[-1][..., :2]

    def forward_heatmaps(self, feats: Sequence[Tensor]) -> Tensor:
        """Predict the auxiliary heat maps, which plain inference does not need.

        Args:
            feats: (B, C_l, h_l, w_l) for each level, fine to coarse.

        Returns:
            (B, K, H, W).

        Raises:
            ValueError: If the head has no auxiliary branch, or the maps are not those it was built for.
        """
        if self.aux_branch is None:
            raise ValueError("This TFPoseHead has no auxiliary branch: build it with aux_branch=True.")
        return self.aux_branch(self._project(feats)[-1:])

    def predict(
        self,
        feats: Sequence[Tensor] | FlipFeatures,
        batch_data_samples: OptSampleList,
        test_cfg: OptConfigType = None,
    ) -> Predictions:
        """Predict keypoints in input space.

        Args:
            feats: Maps as in :meth:`forward`; with ``flip_test`` a list of two such, of image and mirror image.
            batch_data_samples: The data samples; with ``flip_test`` they hold ``flip_indices`` and ``input_size``.
            test_cfg: ``flip_test``; ``shift_coords`` (default ``False``, right for :class:`TFPoseLabel`, whose
                mirrored label is 1 - x); ``output_heatmaps`` (default ``False``) adds the auxiliary heat maps;
                ``keypoint_scores``: ``None`` (the default) scores every keypoint 1.0, as the paper; ``"heatmap"``
                reads the auxiliary heat map at the predicted point; ``"sigma"`` is 1 - sigma, of a head that predicts
                it.

        Returns:
            For each image an ``InstanceData`` with keypoints (1, K, 2) and keypoint_scores (1, K); with
            ``output_heatmaps`` also a list of ``PixelData`` with heatmaps (K, H, W).

        Raises:
            ValueError: If K differs from the data set's, or heat maps or scores are asked of a head that lacks what
                they come from.
        """
        test_cfg = test_cfg or {}
        scoring, output_heatmaps = test_cfg.get("keypoint_scores"), test_cfg.get("output_heatmaps", False)
        self._check_scoring(scoring, output_heatmaps)
        flip_test = test_cfg.get("flip_test", False)
        views = [self._project(view) for view in (feats if flip_test else [feats])]
        outputs = [self._decode_layers(view)[-1] for view in views]
        coordinates, sigmas = [output[..., :2] for output in outputs], [output[..., 2:].sigmoid() for output in outputs]
        needs_heatmaps = output_heatmaps or scoring == "heatmap"
        heatmaps = [self.aux_branch(view[-1:]) for view in views] if needs_heatmaps else []

        if flip_test:
            metainfo = batch_data_samples[0].metainfo
            flip_indices = metainfo["flip_indices"]
            self._check_num_joints("flip_indices", len(flip_indices))
            coordinates[1] = flip_coordinates(
                coordinates[1].clone(),  # it is mirrored in place
                flip_indices=flip_indices,
                shift_coords=test_cfg.get("shift_coords", False),
                input_size=metainfo["input_size"],
            )
            sigmas[1] = sigmas[1][:, flip_indices]
            if needs_heatmaps:
                heatmaps[1] = flip_heatmaps(heatmaps[1], flip_indices=flip_indices, shift_heatmap=False)

        mean = sum(coordinates).div(len(coordinates))  # (B, K, 2)
        preds = self.decode(mean.unsqueeze(1))
        if needs_heatmaps:
            heatmaps = sum(heatmaps).div(len(heatmaps))
        if scoring is not None:
            scores = read_heatmaps(heatmaps, mean) if scoring == "heatmap" else 1 - sum(sigmas).mean(-1) / len(sigmas)
            for pred, score in zip(preds, to_numpy(scores)):
                pred.keypoint_scores = score[None]
        if output_heatmaps:
            return preds, [PixelData(heatmaps=maps) for maps in heatmaps.detach()]
        return preds

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
            train_cfg: ``compute_acc`` (default ``False``) adds ``acc_pose``, PCK@0.05 of the crop.

        Returns:
            The losses of :class:`TFPoseLoss`, and ``acc_pose`` if asked for.

        Raises:
            ValueError: If K differs from the data set's, or heat maps are missing or of another size.
        """
        labels = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in batch_data_samples])
        weights = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in batch_data_samples])
        self._check_num_joints("keypoint labels", labels.shape[1])

        memory = self._project(feats)
        coordinates = self._decode_layers(memory)
        heatmaps = targets = None
        if self.aux_branch is not None:
            heatmaps = self.aux_branch(memory[-1:])
            if all("heatmaps" in (sample.get("gt_fields") or ()) for sample in batch_data_samples):
                targets = torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        losses = self.loss_module(coordinates, labels, weights, heatmaps, targets)
        if (train_cfg or {}).get("compute_acc", False):
            losses["acc_pose"] = self._accuracy(coordinates[-1][..., :2], labels, weights)
        return losses

    def _project(self, feats: Sequence[Tensor]) -> Sequence[Tensor]:
        """Check the maps and bring them to C channels: (B, C, h_l, w_l) for each level."""
        check_feature_maps("TFPoseHead", feats, self.level_channels)
        return feats if self.input_proj is None else self.input_proj(feats)

    def _decode_layers(self, maps: Sequence[Tensor]) -> Tensor:
        """All layers' coordinates, (N_D, B, K, 2), or with sigma (N_D, B, K, 4)."""
        memory, spatial_shapes = maps_to_tokens(maps)
        return self.transformer_decoder(memory, spatial_shapes, self.reg_branches)

    def _check_num_joints(self, what: str, got: int) -> None:
        if got != self.num_joints:
            raise ValueError(
                f"TFPoseHead predicts num_joints={self.num_joints} keypoints, but the data set's {what} have {got}: "
                "set num_joints to the data set's number of keypoints."
            )

    def _check_scoring(self, scoring: str | None, output_heatmaps: bool) -> None:
        if (output_heatmaps or scoring == "heatmap") and self.aux_branch is None:
            asked = "output_heatmaps" if output_heatmaps else "keypoint_scores='heatmap'"
            raise ValueError(f"This TFPoseHead has no auxiliary branch to output heat maps: drop {asked}.")
        if scoring == "sigma" and not self.sigma:
            raise ValueError("This TFPoseHead predicts no sigma: train it with sigma=True, or use another score.")
        if scoring not in (None, "heatmap", "sigma"):
            raise ValueError(f"TFPoseHead needs keypoint_scores of None, 'heatmap' or 'sigma', but got {scoring!r}.")

    @staticmethod
    def _accuracy(coordinates: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """PCK@0.05 of the crop, as MMPose's regression heads log it."""
        _, accuracy, _ = keypoint_pck_accuracy(
            pred=to_numpy(coordinates),
            gt=to_numpy(labels),
            mask=to_numpy(weights) > 0,
            thr=0.05,
            norm_factor=to_numpy(torch.ones_like(labels[:, 0])),
        )
        return coordinates.new_tensor(accuracy)

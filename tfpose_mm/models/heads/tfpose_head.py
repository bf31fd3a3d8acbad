"""The transformer decoder of TFPose as an MMPose head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np
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
from mmpose.utils.typing import ConfigType, Features, OptConfigType, OptMultiConfig, OptSampleList, Predictions
from torch import Tensor

from ...errors import UserError
from ..layers import (
    AttentionRecord,
    DeformableTransformerDecoder,
    RegressionBranch,
    SpatialShapes,
    TransformerRecords,
    check_feature_maps,
    check_norm,
    check_positive,
    maps_to_tokens,
    sample_heatmaps,
)
from .starts import Proposal


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
        start: Config of a module that proposes y_0 from the memory, such as :class:`KeypointMapStart`. Defaults to
            ``None``: y_0 is learned and the same for every image, as in the paper.
        aux_branch: Whether to predict heat maps from the last (coarsest) map in training ("aux" of Table 4).
            Defaults to ``True``.
        deconv_out_channels: Channels of the deconvolutions of the auxiliary branch, each of which doubles the size.
            Defaults to three of 256: a stride of 32 becomes 4.
        deconv_kernel_sizes: Their kernels. Defaults to 4 each.
        norm_cfg: Norm after the projection of maps without C channels. Defaults to group norm with 32 groups.
        loss: A loss that is called as :class:`TFPoseLoss`, which is the default, with lambda 50.
        decoder: The codec, as MMPose names it; :class:`TFPoseLabel`. Defaults to ``None``, which cannot decode.
        init_cfg: MMEngine's initialisation of the whole head. Defaults to ``None``.
        **decoder_cfg: Arguments of :class:`DeformableTransformerDecoder` and of its layers: ``num_heads`` (8),
            ``num_points`` (4), ``feedforward_channels`` (1024), ``dropout`` (0.1), ``query_attention`` (``True``);
            and beyond the paper ``reference_position`` and ``token_position`` (``False``).

    Raises:
        UserError: If sizes do not fit together, here or at the first batch.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        num_joints: int,
        num_levels: int = 3,
        embed_dims: int = 256,
        num_layers: int = 6,
        start: ConfigType | None = None,
        aux_branch: bool = True,
        deconv_out_channels: Sequence[int] | None = (256, 256, 256),
        deconv_kernel_sizes: Sequence[int] | None = (4, 4, 4),
        norm_cfg: ConfigType | None = dict(type="GN", num_groups=32),  # noqa: B006 - read only, as in MMPose
        loss: ConfigType = dict(type="TFPoseLoss"),  # noqa: B006 - read only, as in MMPose
        decoder: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
        **decoder_cfg: Any,  # noqa: ANN401 - the arguments of a config
    ) -> None:
        super().__init__(init_cfg)
        levels = [in_channels] * num_levels if isinstance(in_channels, int) else list(in_channels)
        check_positive("TFPoseHead", num_joints=num_joints, num_layers=num_layers)
        self.in_channels = in_channels
        self.num_joints = num_joints
        self.level_channels = levels
        self.loss_module = MODELS.build(loss)
        self.decoder = None if decoder is None else KEYPOINT_CODECS.build(decoder)

        self.input_proj = None
        if any(channels != embed_dims for channels in levels):
            check_norm("TFPoseHead", embed_dims, norm_cfg)
            self.input_proj = ChannelMapper(levels, embed_dims, kernel_size=1, norm_cfg=norm_cfg, act_cfg=None)
        sizes = dict(num_keypoints=num_joints, embed_dims=embed_dims, num_levels=len(levels))
        self.start = None if start is None else MODELS.build(dict(start, **sizes))
        self.transformer_decoder = DeformableTransformerDecoder(
            **sizes, num_layers=num_layers, learned_start=start is None, **decoder_cfg
        )
        self.reg_branches = ModuleList(RegressionBranch(embed_dims) for _ in range(num_layers))
        self.aux_branch = None
        if aux_branch:
            deconvs = dict(deconv_out_channels=deconv_out_channels, deconv_kernel_sizes=deconv_kernel_sizes)
            self.aux_branch = HeatmapHead(in_channels=embed_dims, out_channels=num_joints, **deconvs)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Predict the coordinates.

        Args:
            feats: (B, C_l, h_l, w_l) for each level, fine to coarse.

        Returns:
            The coordinates of the last layer, (B, K, 2), (x, y) in [0, 1], in the codec's label units.
        """
        memory, spatial_shapes = maps_to_tokens(self.project(feats))
        return self.refine(memory, spatial_shapes, self.propose(memory, spatial_shapes))[-1]

    def forward_with_records(self, feats: Sequence[Tensor]) -> tuple[Tensor, TransformerRecords]:
        """Return the coordinates of :meth:`forward`, and what each decoder layer attended to and predicted."""
        memory, spatial_shapes = maps_to_tokens(self.project(feats))
        proposal, layers = self.propose(memory, spatial_shapes), []
        refined = self.refine(memory, spatial_shapes, proposal, layers)
        coordinates = torch.cat([proposal.coordinates[None], refined])
        return refined[-1], TransformerRecords(spatial_shapes, tuple(layers), coordinates)

    def project(self, feats: Sequence[Tensor]) -> Sequence[Tensor]:
        """Check maps (B, C_l, h_l, w_l), and project them to C channels if they have others: (B, C, h_l, w_l).

        Raises:
            UserError: If number or channels of the maps do not fit.
        """
        check_feature_maps("TFPoseHead", feats, self.level_channels)
        return feats if self.input_proj is None else self.input_proj(feats)

    def propose(self, memory: Tensor, spatial_shapes: SpatialShapes, maps: Tensor | None = None) -> Proposal:
        """Return y_0 of the start, or the learned y_0.

        Args:
            memory: M, (B, N, C).
            spatial_shapes: (h, w) of each level.
            maps: Keypoint maps (B, K, h, w) that a start shall use in place of its own.
        """
        if self.start is None:
            return Proposal(self.transformer_decoder.learned_coordinates(memory.shape[0]))
        return self.start(memory, spatial_shapes, maps)

    def refine(
        self,
        memory: Tensor,
        spatial_shapes: SpatialShapes,
        proposal: Proposal,
        records: list[AttentionRecord] | None = None,
    ) -> Tensor:
        """Return the coordinates of all layers, (N_D, B, K, 2), (x, y) in [0, 1], that begin at a proposal."""
        return self.transformer_decoder(memory, spatial_shapes, self.reg_branches, proposal.coordinates, records)

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
            The losses of :class:`TFPoseLoss` and of the start, and ``acc_pose``.

        Raises:
            UserError: If K differs from the data set's, or heat maps are missing or of another size.
        """
        labels = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in batch_data_samples])
        weights = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in batch_data_samples])
        self._check_num_joints("keypoint labels", labels.shape[1])

        maps = self.project(feats)
        memory, spatial_shapes = maps_to_tokens(maps)
        proposal = self.propose(memory, spatial_shapes)
        coordinates = self.refine(memory, spatial_shapes, proposal)
        heatmaps = targets = None
        if self.aux_branch is not None:
            heatmaps = self.aux_branch(maps[-1:])
            if all("heatmaps" in (sample.get("gt_fields") or ()) for sample in batch_data_samples):
                targets = torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        losses = self.loss_module(coordinates, labels, weights, heatmaps, targets)
        if self.start is not None:
            losses.update(self.start.loss(proposal, labels, weights))
        if (train_cfg or {}).get("compute_acc", True):
            losses["acc_pose"] = self._accuracy(coordinates[-1], labels, weights)
        return losses

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
                ``keypoint_scores`` (default ``"one"``), see :attr:`score_kinds`.

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
        for pred, score in zip(preds, to_numpy(scores)):
            pred.keypoint_scores = score[None]
        if heatmaps is not None and test_cfg.get("output_heatmaps", False):
            return preds, [PixelData(heatmaps=maps) for maps in heatmaps.detach()]
        return preds

    def predict_tensors(
        self, feats: Features, metainfo: dict, test_cfg: ConfigType
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Predict as :meth:`predict`, but return tensors, as exported models need it.

        With ``flip_test``, ``metainfo`` has ``flip_indices`` and ``input_size``.

        Returns:
            Coordinates (B, K, 2), (x, y) in [0, 1], label units; scores (B, K); and auxiliary heat maps (B, K, H, W),
            ``None`` if neither the output nor the scores need them.
        """
        kind = self.choose_scores(test_cfg.get("keypoint_scores") or "one")
        output_heatmaps = test_cfg.get("output_heatmaps", False)
        if output_heatmaps and self.aux_branch is None:
            raise UserError("This TFPoseHead has no auxiliary branch to predict heat maps: remove output_heatmaps.")
        aux_branch = self.aux_branch if output_heatmaps or kind == "heatmap" else None
        flip_test = test_cfg.get("flip_test", False)
        views = [self.project(view) for view in (feats if flip_test else [feats])]
        tokens = [maps_to_tokens(view) for view in views]

        def mean(outputs: list[Tensor], flip: Callable[[Tensor], Tensor]) -> Tensor:
            return (outputs[0] + flip(outputs[1])) / 2 if flip_test else outputs[0]

        def flip_maps(maps: Tensor) -> Tensor:
            return flip_heatmaps(maps, flip_indices=metainfo["flip_indices"], shift_heatmap=False)

        def flip_points(points: Tensor) -> Tensor:
            return flip_coordinates(
                points.clone(),  # MMPose changes it in place
                flip_indices=metainfo["flip_indices"],
                shift_coords=test_cfg.get("shift_coords", False),
                input_size=metainfo["input_size"],
            )

        if flip_test:
            self._check_num_joints("flip_indices", len(metainfo["flip_indices"]))
        proposals = [self.propose(*view) for view in tokens]
        keypoint_maps = proposals[0].maps
        if flip_test and keypoint_maps is not None:  # both views start at the maxima of their mean maps
            keypoint_maps = mean([one.maps for one in proposals if one.maps is not None], flip_maps)
            means = (keypoint_maps, flip_maps(keypoint_maps))
            proposals = [self.propose(*view, maps) for view, maps in zip(tokens, means)]
        outputs = [self.refine(*view, proposal)[-1] for view, proposal in zip(tokens, proposals)]
        coordinates = mean(outputs, flip_points)
        heatmaps = None
        if aux_branch is not None:
            heatmaps = mean([aux_branch(view[-1:]).float() for view in views], flip_maps)
        if kind == "heatmap" and heatmaps is not None:
            scores = sample_heatmaps(heatmaps, coordinates)
        elif self.start is not None and kind in self.start.score_kinds:
            scores = self.start.scores(keypoint_maps, coordinates)
        else:
            scores = torch.ones_like(coordinates[..., 0])
        return coordinates, scores, heatmaps

    @property
    def score_kinds(self) -> tuple[str, ...]:
        """Kinds of keypoint scores that this head predicts, the best first. All scores are in [0, 1].

        ``"keypoint_map"`` is the probability of the keypoint map around the predicted point, for a
        :class:`KeypointMapStart`; ``"heatmap"`` is the value of the auxiliary heat map at the predicted point;
        ``"one"`` is 1.0 for every keypoint, as in the paper.
        """
        of_start = () if self.start is None else self.start.score_kinds
        of_branch = () if self.aux_branch is None else ("heatmap",)
        return (*of_start, *of_branch, "one")

    def choose_scores(self, wanted: str) -> str:
        """Choose the kind of keypoint scores.

        Args:
            wanted: One of :attr:`score_kinds`, or ``"auto"`` for the first of them.

        Raises:
            UserError: If the head does not have them.
        """
        if wanted not in ("auto", *self.score_kinds):
            kinds = ", ".join(("auto", *self.score_kinds))
            raise UserError(f"The keypoint scores of this TFPoseHead are {kinds}, but got {wanted}: use one of them.")
        return self.score_kinds[0] if wanted == "auto" else wanted

    @staticmethod
    def _accuracy(coordinates: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """PCK with a threshold of 0.05 in label units, as MMPose's regression heads log it."""
        predicted, labels_, mask = to_numpy(coordinates), to_numpy(labels), to_numpy(weights) > 0
        norm = np.ones_like(labels_[:, 0])  # (B, 2)
        return coordinates.new_tensor(keypoint_pck_accuracy(predicted, labels_, mask, 0.05, norm)[1])

    def _check_num_joints(self, what: str, got: int) -> None:
        if got != self.num_joints:
            raise UserError(
                f"TFPoseHead predicts num_joints={self.num_joints} keypoints, but the data set's {what} have {got}: "
                "set num_joints to the data set's number of keypoints."
            )


def is_tfpose_head(head: dict) -> bool:
    """Whether the config of a head is that of a :class:`TFPoseHead` or of a subclass."""
    return issubclass(MODELS.get(head["type"]) or object, TFPoseHead)

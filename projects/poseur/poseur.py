"""Poseur (Mao et al., ECCV 2022) on the parts of tfpose_mm.

An independent implementation from the description in the paper; README.md lists the differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmdet.models.layers import inverse_sigmoid
from mmengine.model import ModuleList
from mmpose.models.utils.tta import flip_coordinates
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, Features, OptConfigType, OptSampleList
from torch import Tensor, nn

from tfpose_mm.models.heads import TFPoseHead
from tfpose_mm.models.layers import (
    AttentionRecord,
    CoordinateEmbedding,
    DeformableTransformerDecoder,
    RegressionBranch,
    SpatialShapes,
    maps_to_tokens,
)

# Lowest logit of sigma in the loss: 6e-6, or 0.002 pixels of 256. RLELoss takes the logarithm of sigma, which is
# infinite where the sigmoid gives 0.
MIN_SIGMA = -12.0


class PoseurProposal(NamedTuple):
    """Where the decoder starts.

    Attributes:
        coordinates: y_0, (B, K, 2), (x, y) in [0, 1], without gradient.
        prediction: Coordinates and logits of sigma, (B, K, 4), for the loss.
        maps: ``None``: y_0 is not from maps.
    """

    coordinates: Tensor
    prediction: Tensor
    maps: None = None


@MODELS.register_module()
class PoseurStart(nn.Module):
    """y_0 and its sigma are regressed from the mean token of the coarsest level, as in RLE.

    Args:
        embed_dims: Channels C, set by the head.
        num_keypoints: Keypoints K, set by the head.
        num_levels: Levels L, set by the head; it is not needed here.
    """

    score_kinds = ()

    def __init__(self, embed_dims: int, num_keypoints: int, num_levels: int) -> None:
        super().__init__()
        self.coordinates = nn.Linear(embed_dims, 2 * num_keypoints)
        self.sigma = nn.Linear(embed_dims, 2 * num_keypoints)
        self.rle = MODELS.build(dict(type="RLELoss", use_target_weight=True))

    def forward(self, memory: Tensor, spatial_shapes: SpatialShapes, maps: None = None) -> PoseurProposal:
        """Propose y_0 for the memory (B, N, C) of levels of (h, w)."""
        height, width = spatial_shapes[-1]
        pooled = memory[:, -height * width :].mean(1)
        parts = (self.coordinates(pooled), self.sigma(pooled))
        prediction = torch.cat([part.reshape(part.shape[0], -1, 2) for part in parts], dim=-1)  # (B, K, 4)
        prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32))
        return PoseurProposal(prediction[..., :2].detach().clamp(0, 1), prediction)

    def loss(self, proposal: PoseurProposal, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """RLE for labels (B, K, 2) and weights (B, K), averaged over keypoints and axes."""
        coordinates, sigma = proposal.prediction.split(2, dim=-1)
        return {"loss_kpt_layer0": self.rle(coordinates, sigma, labels, weights.unsqueeze(-1)) / labels[0].numel()}


class PoseurDecoder(DeformableTransformerDecoder):
    """Queries that know y_0, gradients through all layers, a second step for each output, and sigma.

    Args:
        num_keypoints: Keypoints K.
        num_layers: Layers N_D.
        embed_dims: Channels C, a multiple of 4.
        **cfg: Arguments of :class:`DeformableTransformerDecoder`.
    """

    def __init__(self, num_keypoints: int, num_layers: int, embed_dims: int, **cfg: Any) -> None:  # noqa: ANN401
        super().__init__(num_keypoints, num_layers, embed_dims, learned_start=False, token_position=True, **cfg)
        self.embedding = CoordinateEmbedding(embed_dims, num_layers=1)
        self.norm = nn.LayerNorm(embed_dims)
        self.output_branches = ModuleList(RegressionBranch(embed_dims) for _ in range(num_layers))

    def forward(
        self,
        memory: Tensor,
        spatial_shapes: SpatialShapes,
        reg_branches: Sequence[nn.Module],
        coordinates: Tensor,
        records: list[AttentionRecord] | None = None,
    ) -> Tensor:
        """Refine y_0: coordinates and logits of sigma of every layer, (N_D, B, K, 4)."""
        position, content = self.query_embedding.weight.chunk(2, dim=1)
        query = content + self.norm(self.embedding(coordinates))  # (B, K, C)
        values = memory + self.token_position(spatial_shapes)
        outputs = []
        for layer, reg_branch, output_branch in zip(self.layers, reg_branches, self.output_branches):
            query = layer(query, position[None], values, coordinates, spatial_shapes, records)
            step, sigma = reg_branch(query).to(coordinates.dtype).split(2, dim=-1)
            coordinates = torch.sigmoid(inverse_sigmoid(coordinates) + step)  # the next layer sees these
            outputs.append(torch.cat([coordinates + output_branch(query), sigma], dim=-1))
        return torch.stack(outputs)


@MODELS.register_module()
class PoseurLoss(nn.Module):
    """RLE on every layer, averaged over keypoints and axes."""

    def __init__(self) -> None:
        super().__init__()
        self.rle = MODELS.build(dict(type="RLELoss", use_target_weight=True))

    def forward(self, outputs: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Losses of outputs (N_D, B, K, 4) for labels (B, K, 2) and weights (B, K)."""
        names = [f"loss_kpt_layer{layer}" for layer in range(1, len(outputs))] + ["loss_kpt"]
        return {
            name: self.rle(*self._split(output), labels, weights.unsqueeze(-1)) / labels[0].numel()
            for name, output in zip(names, outputs)
        }

    @staticmethod
    def _split(output: Tensor) -> tuple[Tensor, Tensor]:
        coordinates, sigma = output.split(2, dim=-1)
        return coordinates, sigma.clamp(min=MIN_SIGMA)


@MODELS.register_module()
class PoseurHead(TFPoseHead):
    """A :class:`TFPoseHead` whose y_0 is regressed and which is trained with RLE and noisy copies of y_0.

    ``test_cfg.keypoint_scores="sigma"`` gives the scores 1 - sigma.

    Args:
        in_channels: See :class:`TFPoseHead`; so are ``num_joints``, ``embed_dims``, ``num_layers``, ``norm_cfg``,
            ``decoder`` and ``init_cfg``.
        num_joints: Keypoints K.
        noise_groups: Groups of further queries that are trained from a noisy y_0. Defaults to 3.
        noise_std: Standard deviation of the noise, in widths and heights of the input. Defaults to 0.2.
        noise_fraction: Fraction of the keypoints with noise. Defaults to 12/51.
        **layer_cfg: Arguments of the decoder layers.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_joints: int,
        embed_dims: int = 256,
        num_layers: int = 6,
        noise_groups: int = 3,
        noise_std: float = 0.2,
        noise_fraction: float = 12 / 51,
        norm_cfg: ConfigType | None = dict(type="GN", num_groups=32),  # noqa: B006 - read only, as in MMPose
        decoder: OptConfigType = None,
        init_cfg: OptConfigType = None,
        **layer_cfg: Any,  # noqa: ANN401 - the arguments of a config
    ) -> None:
        common = dict(embed_dims=embed_dims, num_layers=num_layers)
        parts = dict(start=dict(type="PoseurStart"), aux_branch=False, loss=dict(type="PoseurLoss"))
        super().__init__(
            in_channels, num_joints, **common, **parts, norm_cfg=norm_cfg, decoder=decoder, init_cfg=init_cfg
        )
        self.noise_groups = noise_groups
        self.noise_std = noise_std
        self.noise_fraction = noise_fraction
        num_levels = len(self.level_channels)
        self.transformer_decoder = PoseurDecoder(num_joints, **common, num_levels=num_levels, **layer_cfg)
        self.reg_branches = ModuleList(RegressionBranch(embed_dims, out_channels=4) for _ in range(num_layers))

    @property
    def score_kinds(self) -> tuple[str, ...]:
        """Kinds of keypoint scores: ``"sigma"`` is 1 - sigma, ``"one"`` is 1.0."""
        return ("sigma", "one")

    def refine(self, *args: Any) -> Tensor:  # noqa: ANN401 - as in TFPoseHead
        """Return the coordinates of all layers, (N_D, B, K, 2)."""
        return super().refine(*args)[..., :2]

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: OptSampleList, train_cfg: OptConfigType = None
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, see :meth:`TFPoseHead.loss`."""
        labels = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in batch_data_samples])
        weights = torch.cat([sample.gt_instance_labels.keypoint_weights for sample in batch_data_samples])
        self._check_num_joints("keypoint labels", labels.shape[1])
        memory, spatial_shapes = maps_to_tokens(self.project(feats))
        proposal = self.propose(memory, spatial_shapes)
        outputs = super().refine(memory, spatial_shapes, proposal)
        losses = {**self.loss_module(outputs, labels, weights), **self.start.loss(proposal, labels, weights)}
        if self.noise_groups:  # a group is a further image of the batch: its queries attend to each other only
            memory, y_0, labels_, weights_ = (
                tensor.repeat_interleave(self.noise_groups, dim=0)
                for tensor in (memory, proposal.coordinates, labels, weights)
            )
            noise = self.noise_std * torch.randn_like(y_0)
            noisy = (y_0 + noise * (torch.rand_like(y_0[..., :1]) < self.noise_fraction)).clamp(0, 1)
            noisy_outputs = super().refine(memory, spatial_shapes, proposal._replace(coordinates=noisy))
            noise_losses = self.loss_module(noisy_outputs, labels_, weights_)
            losses.update({name.replace("loss_", "loss_noise_", 1): loss for name, loss in noise_losses.items()})
        if (train_cfg or {}).get("compute_acc", True):
            losses["acc_pose"] = self._accuracy(outputs[-1, ..., :2], labels, weights)
        return losses

    def predict_tensors(
        self, feats: Features, metainfo: dict, test_cfg: ConfigType
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Predict coordinates (B, K, 2) and scores (B, K), see :meth:`TFPoseHead.predict_tensors`."""
        kind = self.choose_scores(test_cfg.get("keypoint_scores") or "one")
        flip_test = test_cfg.get("flip_test", False)
        outputs = []
        for view in feats if flip_test else [feats]:
            tokens = maps_to_tokens(self.project(view))
            outputs.append(super().refine(*tokens, self.propose(*tokens))[-1])
        coordinates, sigma = outputs[0].split(2, dim=-1)
        if flip_test:
            flip_indices = metainfo["flip_indices"]
            self._check_num_joints("flip_indices", len(flip_indices))
            mirrored, other = outputs[1].split(2, dim=-1)
            options = dict(shift_coords=test_cfg.get("shift_coords", False), input_size=metainfo["input_size"])
            flipped = flip_coordinates(mirrored.clone(), flip_indices=flip_indices, **options)
            coordinates = (coordinates + flipped) / 2
            certain = 1 - ((sigma.sigmoid() + other.sigmoid()[:, flip_indices]) / 2).mean(-1)
        else:
            certain = 1 - sigma.sigmoid().mean(-1)
        return coordinates, certain if kind == "sigma" else torch.ones_like(certain), None

"""Small models, random images and labelled samples."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import nn

from tfpose_mm.comparison.memory import labelled_batch

from .paths import TINY

INPUT_SIZE = (96, 128)  # w, h
CODEC = dict(type="TFPoseLabel", input_size=INPUT_SIZE, heatmap_size=(24, 32), sigma=2)
POSITIONS = dict(reference_position=True, token_position=True)
TWO_STAGE = dict(start=dict(type="KeypointMapStart"), **POSITIONS)


def randomise(module):
    """Change every parameter from its initial value, so that no test passes because a parameter is zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return module


def tiny_model_cfg(num_joints=5, aux_branch=True, test_cfg=None, **head):
    """A TFPose that runs in milliseconds."""
    attention = dict(num_heads=4, feedforward_channels=48)
    return dict(
        type="TopdownPoseEstimator",
        backbone=dict(type="ResNet", depth=18, base_channels=8, stem_channels=8, out_indices=(1, 2, 3), init_cfg=None),
        neck=dict(
            type="DeformableTransformerNeck", in_channels=[16, 32, 64], out_channels=32, num_layers=1, **attention
        ),
        head=dict(
            type="TFPoseHead",
            in_channels=32,
            num_joints=num_joints,
            embed_dims=32,
            num_layers=2,
            aux_branch=aux_branch,
            deconv_out_channels=(8, 8, 8),
            decoder=CODEC,
            **attention,
            **head,
        ),
        test_cfg=test_cfg or {},
    )


def build(cfg):
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def flip_indices(num_joints):
    """Flip indices: joint 0 is not swapped, the other joints are swapped in pairs."""
    indices = list(range(num_joints))
    for left in range(1, num_joints - 1, 2):
        indices[left], indices[left + 1] = left + 1, left
    return indices


def samples(batch=3, num_joints=5, weights=None, heatmap_size=(24, 32)):
    """Labelled data samples as MMPose's pipeline packs them."""
    rng, packed = np.random.default_rng(0), []
    for index in range(batch):
        metainfo = dict(
            input_size=INPUT_SIZE,
            input_center=np.array([40.0, 80.0], dtype=np.float32),
            input_scale=np.array([120.0, 160.0], dtype=np.float32),
            flip_indices=flip_indices(num_joints),
        )
        sample = PoseDataSample(metainfo=metainfo)
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=torch.from_numpy(rng.uniform(0.1, 0.9, (1, num_joints, 2)).astype(np.float32)),
            keypoint_weights=torch.ones(1, num_joints) if weights is None else weights[index : index + 1],
        )
        if heatmap_size is not None:
            shape = (num_joints, heatmap_size[1], heatmap_size[0])
            sample.gt_fields = PixelData(heatmaps=torch.from_numpy(rng.uniform(0, 1, shape).astype(np.float32)))
        box = np.array([[10.0, 20.0, 70.0, 140.0]], dtype=np.float32)
        sample.gt_instances = InstanceData(bboxes=box, bbox_scores=np.ones(1, dtype=np.float32))
        packed.append(sample)
    return packed


def labelled(codec, head, batch=3):
    """Samples with the targets of any codec for any of MMPose's heads, and with the metainfo for prediction."""
    joints = head.get("num_joints") or head["out_channels"]
    packed = samples(batch, joints)
    _, targets = labelled_batch(Config(dict(codec=codec, model=dict(head=head))), batch, "cpu")
    for sample, target in zip(packed, targets):
        sample.gt_instance_labels = target.gt_instance_labels
        if "gt_fields" in target:
            sample.gt_fields = target.gt_fields
        sample.set_metainfo(dict(input_size=codec["input_size"]))
    return packed


def images(batch=3):
    return torch.randn(batch, 3, INPUT_SIZE[1], INPUT_SIZE[0], generator=torch.Generator().manual_seed(0))


def feature_maps(channels, shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(3, c, *shape, generator=generator) for c, shape in zip(channels, shapes))


def load_tiny(**options):
    """Return the demo's config with changes (``__`` stands for a dot), and its model."""
    cfg = Config.fromfile(str(TINY))
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in options.items()})
    return cfg, MODELS.build(cfg.model)


class TinyUpsampler(nn.Module):
    """One transposed convolution, as an estimator."""

    def __init__(self):
        super().__init__()
        self.head = nn.ConvTranspose2d(3, 6, 4, stride=2, padding=1, groups=3, bias=False)

    def _forward(self, inputs):
        return self.head(inputs)

    def forward(self, inputs):
        return "untouched"

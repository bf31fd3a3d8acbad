"""Combine TFPose's head with backbones and necks of MMPose, and TFPose's neck with heads of MMPose."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.helpers.checks import check_gradients
from tests.helpers.models import INPUT_SIZE, build, images, labelled, randomise, samples, tiny_model_cfg

WIDTHS = (8, 16, 32, 64)  # of HRNet's branches
RESNET = tiny_model_cfg()["backbone"]


def hrnet(multiscale):
    stages = {
        f"stage{n}": dict(num_modules=1, num_branches=n, block="BASIC", num_blocks=[1] * n, num_channels=WIDTHS[:n])
        for n in (1, 2, 3, 4)
    }
    stages["stage4"]["multiscale_output"] = multiscale
    return dict(type="HRNet", in_channels=3, extra=stages)


SWIN = dict(type="SwinTransformer", embed_dims=12, depths=(1,) * 4, num_heads=(1, 2, 4, 8), out_indices=(1, 2, 3))
MOBILENET = dict(type="MobileNetV2", widen_factor=0.25, out_indices=(2, 4, 7))
FPN = dict(type="FPN", in_channels=[16, 32, 64], out_channels=32, num_outs=3)
MAPPER = dict(type="ChannelMapper", in_channels=[16, 32, 64], out_channels=24)


def neck(*in_channels, num_layers=1):
    sizes = dict(out_channels=32, num_layers=num_layers, num_heads=4, feedforward_channels=48)
    return dict(type="DeformableTransformerNeck", in_channels=list(in_channels), **sizes)


NO_DECONVS = dict(deconv_out_channels=None, deconv_kernel_sizes=None)  # after a map of stride 4
# name: backbone, neck, channels of the maps that reach the head, other arguments of the head
BODIES = {
    "resnet": (RESNET, None, [16, 32, 64], {}),
    "resnet-deformable": (RESNET, neck(16, 32, 64), [32] * 3, {}),
    "resnet-channelmapper": (RESNET, MAPPER, [24] * 3, {}),
    "resnet-fpn": (RESNET, FPN, [32] * 3, {}),
    "hrnet-single": (hrnet(False), None, [8], NO_DECONVS),
    "hrnet-single-deformable": (hrnet(False), neck(8), [32], NO_DECONVS),
    "hrnet-multiscale": (hrnet(True), neck(8, 16, 32, 64, num_layers=0), [32] * 4, {}),
    "mobilenetv2": (MOBILENET, neck(8, 24, 1280), [32] * 3, {}),
    "swin": (SWIN, neck(24, 48, 96), [32] * 3, {}),
}


@pytest.mark.parametrize("num_joints", [14, 17, 21, 133])
@pytest.mark.parametrize("body", BODIES)
def test_the_head_behind_any_body(body, num_joints):
    backbone, neck_cfg, channels, arguments = BODIES[body]
    cfg = dict(tiny_model_cfg(num_joints, test_cfg=dict(flip_test=True)), backbone=backbone, neck=neck_cfg)
    cfg["head"].update(in_channels=channels, **arguments)
    model = randomise(build(cfg))
    without = check_gradients(model, model.loss(images(), samples(num_joints=num_joints)))
    assert not [name for name in without if name.startswith("head.")]
    model.eval()
    with torch.no_grad():
        coordinates = model(images(), None, mode="tensor")
        predicted = model.predict(images(), samples(num_joints=num_joints))
    assert coordinates.shape == (3, num_joints, 2)
    assert ((coordinates >= 0) & (coordinates <= 1)).all()
    points = np.concatenate([sample.pred_instances.keypoints for sample in predicted])
    assert points.shape == (3, num_joints, 2)
    assert points.std(0).max() > 1e-3  # predictions differ between images


NO_DROPOUT = dict(dropout_rate=0.0, drop_path=0.0)
GAU = dict(hidden_dims=16, s=8, expansion_factor=2, act_fn="SiLU", use_rel_bias=False, pos_enc=False, **NO_DROPOUT)
SIZES = dict(input_size=INPUT_SIZE, in_featuremap_size=(3, 4), simcc_split_ratio=2.0)
POOL = dict(type="GlobalAveragePooling")
HEATMAP_CODEC = dict(type="UDPHeatmap", input_size=INPUT_SIZE, heatmap_size=(24, 32), sigma=2)
SIMCC_CODEC = dict(type="SimCCLabel", input_size=INPUT_SIZE, sigma=4.0, simcc_split_ratio=2.0)
REGRESSION_CODEC = dict(type="RegressionLabel", input_size=INPUT_SIZE)
INTEGRAL_CODEC = dict(HEATMAP_CODEC, type="IntegralRegressionLabel")
# name: codec, head, pooled
HEADS = {
    "heatmap": (HEATMAP_CODEC, dict(type="HeatmapHead", deconv_out_channels=(8, 8, 8)), False),
    "simcc": (SIMCC_CODEC, dict(type="SimCCHead", deconv_out_channels=(8, 8, 8), **SIZES), False),
    "rtmcc": (SIMCC_CODEC, dict(type="RTMCCHead", final_layer_kernel_size=3, gau_cfg=GAU, **SIZES), False),
    "dsnt": (INTEGRAL_CODEC, dict(type="DSNTHead", in_featuremap_size=(3, 4), deconv_out_channels=(8, 8, 8)), False),
    "regression": (REGRESSION_CODEC, dict(type="RegressionHead"), True),
    "rle": (REGRESSION_CODEC, dict(type="RLEHead"), True),
}


@pytest.mark.parametrize(("kind", "num_joints"), zip(HEADS, (14, 21, 133, 14, 17, 133)))
def test_the_neck_before_any_head(kind, num_joints):
    codec, head, pooled = HEADS[kind]
    ours = neck(16, 32, 64)
    joints = "num_joints" if kind in ("dsnt", "regression", "rle") else "out_channels"
    cfg = dict(
        type="TopdownPoseEstimator",
        backbone=RESNET,
        neck=dict(type="SequentialNeck", necks=[ours, POOL]) if pooled else ours,
        head=dict(head, in_channels=32, decoder=codec, **{joints: num_joints}),
        test_cfg=dict(flip_test=True, flip_mode="heatmap", shift_coords=False),
    )
    model = randomise(build(cfg))
    batch = labelled(codec, cfg["head"])
    without = check_gradients(model, model.loss(images(), batch))
    assert [name for name in without if name.startswith("neck.")] == []
    model.eval()
    with torch.no_grad():
        model(images(), None, mode="tensor")
        predicted = model.predict(images(), batch)
    assert predicted[2].pred_instances.keypoints.shape == (1, num_joints, 2)


def test_a_sequential_neck_without_necks_is_refused():
    with pytest.raises(ValueError, match="at least one neck, but got none"):
        build(dict(type="SequentialNeck", necks=[]))

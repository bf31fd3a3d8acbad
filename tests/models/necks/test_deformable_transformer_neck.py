from __future__ import annotations

import pytest
import torch
from mmpose.registry import MODELS

from tests.helpers.models import feature_maps, randomise
from tfpose_mm.models.layers import DeformableAttention

CHANNELS, SHAPES = (6, 10, 14), ((8, 6), (4, 3), (2, 2))


def build(channels=CHANNELS, **cfg):
    cfg = dict(dict(out_channels=32, num_layers=2, num_heads=4, feedforward_channels=20, dropout=0.0), **cfg)
    neck = MODELS.build(dict(type="DeformableTransformerNeck", in_channels=list(channels), **cfg))
    neck.init_weights()
    return neck


@pytest.mark.parametrize(("num_layers", "levels"), [(0, 3), (2, 3), (1, 1)])
def test_every_parameter_gets_a_gradient_and_levels_keep_their_order(num_layers, levels):
    channels, shapes = CHANNELS[:levels], SHAPES[:levels]
    neck, maps = randomise(build(channels, num_layers=num_layers)), feature_maps(channels, shapes)
    outputs, records = neck.forward_with_records(maps)
    assert isinstance(outputs, tuple)
    assert [tuple(level.shape) for level in outputs] == [(3, 32, *shape) for shape in shapes]
    sum((level**2).sum() for level in outputs).backward()
    assert not [name for name, p in neck.named_parameters() if p.grad is None or not p.grad.any()]
    for ours, expected in zip(outputs, neck.eval()(maps)):
        torch.testing.assert_close(ours, expected)
    assert records.spatial_shapes == shapes
    assert len(records.layers) == num_layers
    tokens = sum(h * w for h, w in shapes)
    for layer in records.layers:
        assert layer.sampling_locations.shape == (3, tokens, 4, levels, 4, 2)
        torch.testing.assert_close(layer.attention_weights.sum((3, 4)), torch.ones(3, tokens, 4))


def test_init_cfg_of_a_parent_does_not_flatten_the_sampling_star():
    neck = build(init_cfg=dict(type="Normal", layer=["Linear"], std=0.01, bias=0))
    fresh = DeformableAttention(32, 4, 3, 4).sampling_offsets.bias
    for layer in neck.transformer_encoder.layers:
        assert torch.equal(layer.self_attn.sampling_offsets.bias, fresh)


def test_a_pretrained_neck_wins_over_initialisation(tmp_path):
    trained = randomise(build())
    torch.save(dict(state_dict=trained.state_dict()), tmp_path / "neck.pth")
    loaded = build(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "neck.pth")))
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name]), name


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"built for 3 feature maps .*\[6, 10, 14\].*\(3, 10, 4, 3\)\]"):
        build()(feature_maps(CHANNELS[:2], SHAPES))
    with pytest.raises(ValueError, match=r"\(3, 15, 2, 2\)"):
        build()(feature_maps((6, 10, 15), SHAPES))
    for cfg, message in (
        (dict(out_channels=30, num_heads=4, norm_cfg=None), "got 30 channels and 4 heads"),
        (dict(out_channels=33, num_heads=3, norm_cfg=None), r"multiple of 4 .* got 33"),
        (dict(num_points=0), "num_points of 1 or more, but got 0"),
        (dict(num_layers=-1), "num_layers of 0 or more, but got -1"),
        (dict(out_channels=48), "got 48 channels and 32 groups: set norm_cfg"),
    ):
        with pytest.raises(ValueError, match=message):
            build(**cfg)
    assert build(out_channels=30, num_layers=0, num_heads=4, norm_cfg=None).transformer_encoder is None  # no heads

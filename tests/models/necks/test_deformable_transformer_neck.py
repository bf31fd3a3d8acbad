from __future__ import annotations

import pytest
import torch
from mmpose.registry import MODELS

from tests.helpers.models import feature_maps, randomise
from tfpose_mm.models.layers import DeformableAttention

CHANNELS, SHAPES = (6, 10, 14), ((8, 6), (4, 3), (2, 2))


def build(channels=CHANNELS, **cfg):
    cfg = dict(dict(out_channels=32, num_layers=2, num_heads=4, feedforward_channels=20), **cfg)
    neck = MODELS.build(dict(type="DeformableTransformerNeck", in_channels=list(channels), **cfg))
    neck.init_weights()
    return neck


@pytest.mark.parametrize("num_layers", [0, 1, 3])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_number_order_and_sizes_of_levels_stay(num_layers, levels):
    neck = build(CHANNELS[:levels], num_layers=num_layers)
    outputs = neck(feature_maps(CHANNELS[:levels], SHAPES[:levels]))
    assert isinstance(outputs, tuple)
    assert [tuple(level.shape) for level in outputs] == [(3, 32, *shape) for shape in SHAPES[:levels]]


@pytest.mark.parametrize("num_layers", [0, 2])
def test_every_parameter_gets_a_gradient(num_layers):
    neck = randomise(build(num_layers=num_layers))
    sum((level**2).sum() for level in neck(feature_maps(CHANNELS, SHAPES))).backward()
    without = [name for name, p in neck.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_levels_and_places_are_told_apart():
    """The outputs of constant maps differ at every level and pixel; only the embeddings can cause this."""
    neck = randomise(build()).eval()
    same = tuple(torch.ones(1, 32, *shape) for shape in SHAPES)
    neck.input_proj = torch.nn.Identity()
    neck.in_channels = [32] * 3
    outputs = torch.cat([level.flatten(2) for level in neck(same)], dim=2)[0]
    distances = torch.cdist(outputs.T, outputs.T) + torch.eye(outputs.shape[1])
    assert distances.min() > 1e-4


def test_the_encoder_mixes_levels():
    neck = randomise(build()).eval()
    maps = feature_maps(CHANNELS, SHAPES)
    before = neck(maps)[0]
    maps[2].neg_()  # the coarsest level changes, the finest output follows
    assert (neck(maps)[0] - before).abs().max() > 1e-4


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


@pytest.mark.parametrize(
    ("channels", "shapes", "got"),
    [
        (CHANNELS[:2], SHAPES[:2], r"built for 3 feature maps .*\[6, 10, 14\].*\(3, 10, 4, 3\)\]"),
        ((6, 10, 15), SHAPES, r"\(3, 15, 2, 2\)"),
    ],
)
def test_other_maps_are_refused(channels, shapes, got):
    with pytest.raises(ValueError, match=got):
        build()(feature_maps(channels, shapes))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (dict(out_channels=30, num_heads=4, norm_cfg=None), "got 30 channels and 4 heads"),
        (dict(out_channels=33, num_heads=3, norm_cfg=None), r"multiple of 4 .* got 33"),
        (dict(num_points=0), "num_points of 1 or more, but got 0"),
        (dict(num_layers=-1), "num_layers of 0 or more, but got -1"),
        (dict(out_channels=48), "got 48 channels and 32 groups: set norm_cfg"),
    ],
)
def test_impossible_sizes_are_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        build(**cfg)


def test_without_encoder_there_are_no_heads_to_fit():
    assert build(out_channels=30, num_layers=0, num_heads=4, norm_cfg=None).transformer_encoder is None


def test_sizes_that_change_and_inference_mode_leave_a_neck_that_trains():
    neck = randomise(build())
    assert not [name for name in neck.state_dict() if "position" in name]
    other_shapes = ((6, 10), (3, 5), (2, 3))
    with torch.inference_mode():
        first = neck.eval()(feature_maps(CHANNELS, other_shapes))
    neck(feature_maps(CHANNELS, SHAPES))
    again = neck(feature_maps(CHANNELS, other_shapes))
    for a, b in zip(first, again):
        torch.testing.assert_close(a.clone(), b)
    sum((level**2).sum() for level in neck.train()(feature_maps(CHANNELS, other_shapes))).backward()
    assert all(parameter.grad is not None for parameter in neck.parameters())


@pytest.mark.parametrize("num_layers", [0, 2])
def test_records_beside_the_same_maps(num_layers):
    neck = randomise(build(num_layers=num_layers)).eval()
    maps = feature_maps(CHANNELS, SHAPES)
    outputs, records = neck.forward_with_records(maps)
    for ours, expected in zip(outputs, neck(maps)):
        assert torch.equal(ours, expected)
    assert records.spatial_shapes == SHAPES
    assert len(records.layers) == num_layers
    for layer in records.layers:
        assert layer.sampling_locations.shape == (3, 64, 4, 3, 4, 2)
        assert layer.attention_weights.shape == (3, 64, 4, 3, 4)


def test_the_first_layer_attends_around_each_pixel():
    """Token (2, 1) of the 4 x 3 level: its initial offsets are those of mmcv, around the centre of its pixel."""
    neck = build(num_layers=1).eval()
    _, records = neck.forward_with_records(feature_maps(CHANNELS, SHAPES))
    locations = records.layers[0].sampling_locations[0, 8 * 6 + 2 * 3 + 1]  # (heads, L, P, 2)
    offsets = neck.transformer_encoder.layers[0].self_attn.sampling_offsets.bias.view(4, 3, 4, 2)
    sizes = torch.tensor(SHAPES).flip(1)[:, None]
    expected = torch.tensor([1.5 / 3, 2.5 / 4]) + offsets / sizes
    torch.testing.assert_close(locations, expected, atol=1e-6, rtol=0)

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from tests.helpers.models import randomise
from tfpose_mm.models.layers import DeformableTransformerDecoder, RegressionBranch, TwoStageDecoder

SHAPES = ((5, 3), (3, 2))
K, C = 5, 8
PARTS = ("pooled_content", "reference_position", "token_position", "look_forward_twice")
LAYERS = dict(num_levels=2, num_heads=2, num_points=2, feedforward_channels=12, dropout=0.0)


def build(num_layers=3, **parts):
    decoder = TwoStageDecoder(K, num_layers, C, **{**dict.fromkeys(PARTS, False), **parts}, **LAYERS)
    branches = nn.ModuleList(RegressionBranch(C) for _ in range(num_layers))
    return randomise(decoder).eval().double(), randomise(branches).double()


def memory(batch=3, seed=0):
    return torch.randn(batch, 21, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_without_its_parts_it_is_tfpose_with_another_y0():
    decoder, branches = build()
    plain = DeformableTransformerDecoder(K, 3, C, **LAYERS).eval().double()
    plain.load_state_dict(decoder.state_dict(), strict=False)
    y0 = decoder.initial_coordinates(memory(), SHAPES)
    assert (y0[0] - y0[1]).abs().max() > 0.05  # it depends on the image
    expected = plain(memory(), SHAPES, branches, coordinates=y0)
    torch.testing.assert_close(decoder(memory(), SHAPES, branches), expected)


@pytest.mark.parametrize("parts", itertools.product([True, False], repeat=4))
def test_all_combinations_of_parts(parts):
    decoder, branches = build(**dict(zip(PARTS, parts)))
    records = []
    coordinates = decoder(memory(), SHAPES, branches, records)
    assert coordinates.shape == (3, 3, K, 2)
    assert ((coordinates > 0) & (coordinates < 1)).all()
    assert len(records) == 3
    single = torch.cat([decoder(memory()[i : i + 1], SHAPES, branches) for i in range(3)], dim=1)
    torch.testing.assert_close(coordinates, single)  # images do not influence each other


@pytest.mark.parametrize("part", PARTS[:3])
def test_each_part_changes_the_coordinates(part):
    torch.manual_seed(0)
    decoder, branches = build(**{part: True})
    plain, _ = build()
    plain.load_state_dict(decoder.state_dict(), strict=False)
    assert (decoder(memory(), SHAPES, branches) - plain(memory(), SHAPES, branches)).abs().max() > 1e-3


def test_look_forward_twice_changes_gradients_but_not_coordinates():
    """The loss of layer d trains the steps of layers d and d - 1, and no others."""
    for twice, reached in ((True, {1, 2}), (False, {2})):
        torch.manual_seed(0)
        decoder, branches = build(look_forward_twice=twice)
        for layer in decoder.layers:  # without this, layers are also linked by their queries
            layer.register_forward_hook(lambda module, inputs, output: output.detach())
        coordinates = decoder(memory(), SHAPES, branches)
        coordinates[2].sum().backward()
        with_gradient = {i for i, branch in enumerate(branches) if branch.layers[-1].bias.grad.any()}
        assert with_gradient == reached
    torch.manual_seed(0)
    other, _ = build()
    torch.testing.assert_close(other(memory(), SHAPES, branches), coordinates)


def test_no_gradient_flows_into_the_maps_but_from_their_loss():
    decoder, branches = build(**dict.fromkeys(PARTS, True))
    decoder(memory(), SHAPES, branches).sum().backward()
    assert decoder.keypoint_maps.classifier.weight.grad is None
    decoder.propose(memory(), SHAPES).logits.sum().backward()
    assert decoder.keypoint_maps.classifier.weight.grad.any()
    assert "reference_points" not in decoder.state_dict()


def test_half_precision_keeps_the_coordinates_in_float32():
    decoder, branches = build(**dict.fromkeys(PARTS, True))
    output = decoder.bfloat16()(memory().bfloat16(), SHAPES, branches.bfloat16())
    assert output.dtype is torch.float32

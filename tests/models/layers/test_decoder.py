from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.helpers import oracle
from tests.helpers.models import POSITIONS, randomise
from tfpose_mm.models.layers import DeformableAttention, DeformableTransformerDecoder, RegressionBranch

SHAPES = ((5, 3), (3, 2))
K, C = 5, 8


def build(**parts):
    sizes = dict(embed_dims=C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12)
    decoder = DeformableTransformerDecoder(K, num_layers=3, **sizes, **parts)
    branches = nn.ModuleList(RegressionBranch(C) for _ in range(3))
    return randomise(decoder).eval().double(), randomise(branches).double()


MEMORY = torch.randn(3, 21, C, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def decode(decoder, branches, memory=MEMORY, y0=None, records=None):
    """The coordinates of all layers, from the learned y_0 unless another one is given."""
    return decoder(memory, SHAPES, branches, decoder.learned_coordinates(3) if y0 is None else y0, records)


@pytest.mark.parametrize("parts", [{}, dict(query_attention=False), dict(POSITIONS, learned_start=False)])
def test_equation_4(parts):
    """With the record of each layer."""
    decoder, branches = build(**parts)
    y0 = torch.rand(3, K, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if decoder.reference_points is not None:
        y0 = 1 / (1 + torch.exp(-decoder.reference_points)).expand(3, K, 2)
        torch.testing.assert_close(decoder.learned_coordinates(3), y0)
    assert (decoder.reference_points is None) == ("learned_start" in parts)
    position, query = (half.expand(3, K, C) for half in decoder.query_embedding.weight.split(C, dim=1))
    expected = oracle.decode(decoder, branches, query, position, MEMORY, y0, SHAPES)
    assert (torch.diff(torch.cat([y0[None], expected]), dim=0).abs().amax((1, 2, 3)) > 1e-2).all()  # in each layer
    records = []
    for given in (None, records):
        torch.testing.assert_close(decode(decoder, branches, y0=y0, records=given), expected, atol=1e-9, rtol=0)
    assert len(records) == 3
    for record in records:
        assert record.sampling_locations.shape == (3, K, 2, 2, 2, 2)
        torch.testing.assert_close(record.attention_weights.sum((3, 4)), torch.ones(3, K, 2).double())
        if parts.get("query_attention", True):
            torch.testing.assert_close(record.query_attention.sum(-1), torch.ones(3, 2, K).double())
        else:
            assert record.query_attention is None


def test_a_layer_takes_the_coordinates_before_it_as_given():
    decoder, branches = build()
    coordinates = decode(decoder, branches)
    y0, first = decoder.reference_points, branches[0].layers[-1].bias
    for parameter in (y0, first):
        assert torch.autograd.grad(coordinates[0].sum(), parameter, retain_graph=True)[0].abs().sum() > 0
    assert not torch.autograd.grad(coordinates[1].sum(), first)[0].any()


def test_an_untrained_decoder_predicts_y0_and_samples_as_mmcv_s():
    decoder, branches = build()
    before = {name: parameter.clone() for name, parameter in decoder.named_parameters()}
    decoder.init_weights()
    for branch in branches:
        branch.init_weights()
    same = [name for name, parameter in decoder.named_parameters() if torch.equal(parameter, before[name])]
    assert {"query_embedding.weight", "reference_points"} <= set(same)
    assert "layers.0.ffn.layers.1.weight" not in same
    fresh = DeformableAttention(C, 2, 2, 2)
    for layer in decoder.layers:
        assert torch.equal(layer.cross_attn.sampling_offsets.bias, fresh.sampling_offsets.bias.double())
        assert not layer.cross_attn.sampling_offsets.weight.any()
    y0 = decoder.reference_points.sigmoid().expand(3, K, 2)
    torch.testing.assert_close(decode(decoder.double(), branches)[-1], y0, atol=1e-5, rtol=0)


def test_half_precision_keeps_the_coordinates_in_float32():
    decoder, branches = build(**POSITIONS)
    output = decode(decoder.bfloat16(), branches.bfloat16(), MEMORY.bfloat16())
    assert output.dtype is torch.float32
    assert (output * 256 % 1).any()  # finer than the 8 bits of bfloat16

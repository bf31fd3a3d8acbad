from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.helpers import oracle
from tests.helpers.models import randomise
from tfpose_mm.models.layers import DeformableAttention, DeformableTransformerDecoder, RegressionBranch

SHAPES = ((5, 3), (3, 2))
K, C = 5, 8


def build(query_attention, num_layers=3):
    decoder = DeformableTransformerDecoder(
        num_keypoints=K,
        num_layers=num_layers,
        embed_dims=C,
        num_levels=2,
        num_heads=2,
        num_points=2,
        feedforward_channels=12,
        query_attention=query_attention,
    )
    branches = nn.ModuleList(RegressionBranch(C) for _ in range(num_layers))
    return randomise(decoder).eval().double(), randomise(branches).double()


def memory(batch=3):
    return torch.randn(batch, 21, C, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("query_attention", [True, False])
def test_equation_4(query_attention):
    decoder, branches = build(query_attention)
    coordinates = decoder(memory(), SHAPES, branches)
    position, query = (half.expand(3, K, C) for half in decoder.query_embedding.weight.split(C, dim=1))
    y0 = 1 / (1 + torch.exp(-decoder.reference_points)).expand(3, K, 2)
    expected = oracle.decode(decoder, branches, query, position, memory(), y0, SHAPES)
    assert coordinates.shape == (3, 3, K, 2)
    torch.testing.assert_close(coordinates, expected, atol=1e-9, rtol=0)


def test_layers_differ():
    """Each layer changes the coordinates, so the comparison with the reference is not trivial."""
    decoder, branches = build(True)
    y0 = decoder.reference_points.sigmoid().expand(1, 3, K, 2)
    coordinates = decoder(memory(), SHAPES, branches)
    assert (torch.diff(torch.cat([y0, coordinates]), dim=0).abs().amax((1, 2, 3)) > 1e-2).all()


def test_queries_see_each_other_only_with_query_attention():
    for query_attention in (True, False):
        decoder, branches = build(query_attention)
        before = decoder(memory(), SHAPES, branches)[-1]
        with torch.no_grad():
            decoder.query_embedding.weight[0] += 1
        after = decoder(memory(), SHAPES, branches)[-1]
        assert ((before[:, 1:] - after[:, 1:]).abs().max() > 1e-6) == query_attention


def test_a_layer_takes_the_coordinates_before_it_as_given():
    decoder, branches = build(True)
    coordinates = decoder(memory(), SHAPES, branches)
    y0, first = decoder.reference_points, branches[0].layers[-1].bias
    for parameter in (y0, first):
        assert torch.autograd.grad(coordinates[0].sum(), parameter, retain_graph=True)[0].abs().sum() > 0
    assert not torch.autograd.grad(coordinates[1].sum(), first)[0].any()


def test_an_untrained_decoder_predicts_y0():
    decoder, branches = build(True)
    for branch in branches:
        branch.init_weights()
    y0 = decoder.reference_points.sigmoid().expand(3, K, 2)
    torch.testing.assert_close(decoder(memory(), SHAPES, branches)[-1], y0, atol=1e-5, rtol=0)


def test_initialising_leaves_queries_and_y0():
    decoder, _ = build(True)
    before = {name: parameter.clone() for name, parameter in decoder.named_parameters()}
    decoder.init_weights()
    same = [name for name, parameter in decoder.named_parameters() if torch.equal(parameter, before[name])]
    assert {"query_embedding.weight", "reference_points"} <= set(same)
    assert "layers.0.ffn.layers.1.weight" not in same


def test_sampling_offsets_start_as_in_mmcv():
    decoder, _ = build(True)
    decoder.init_weights()
    fresh = DeformableAttention(C, 2, 2, 2)
    for layer in decoder.layers:
        assert torch.equal(layer.cross_attn.sampling_offsets.bias, fresh.sampling_offsets.bias.double())
        assert not layer.cross_attn.sampling_offsets.weight.any()


@pytest.mark.parametrize("query_attention", [True, False])
def test_the_records_are_those_of_each_layer(query_attention):
    decoder, branches = build(query_attention)
    records = []
    coordinates = decoder(memory(), SHAPES, branches, records)
    torch.testing.assert_close(coordinates, decoder(memory(), SHAPES, branches), atol=1e-9, rtol=0)
    assert len(records) == 3
    for record in records:
        assert record.sampling_locations.shape == (3, K, 2, 2, 2, 2)
        torch.testing.assert_close(record.attention_weights.sum((3, 4)), torch.ones(3, K, 2).double())
        if query_attention:
            assert record.query_attention.shape == (3, 2, K, K)
            torch.testing.assert_close(record.query_attention.sum(-1), torch.ones(3, 2, K).double())
        else:
            assert record.query_attention is None


def test_a_layer_samples_around_the_coordinates_before_it():
    """With no offsets every sampling point is the reference point: y_0 in the first layer, y_1 in the second."""
    decoder, branches = build(True)
    for layer in decoder.layers:
        nn.init.zeros_(layer.cross_attn.sampling_offsets.weight)
        nn.init.zeros_(layer.cross_attn.sampling_offsets.bias)
    records = []
    coordinates = decoder(memory(), SHAPES, branches, records)
    before = torch.cat([decoder.initial_coordinates(memory(), SHAPES)[None], coordinates[:-1]])
    for record, reference in zip(records, before):
        expected = reference[:, :, None, None, None].expand_as(record.sampling_locations)
        torch.testing.assert_close(record.sampling_locations, expected, atol=1e-12, rtol=0)


def test_y0_belongs_to_the_caller():
    decoder, branches = build(True)
    expected = decoder(memory(), SHAPES, branches)
    with torch.no_grad():
        decoder.initial_coordinates(memory(), SHAPES).zero_()
    torch.testing.assert_close(decoder(memory(), SHAPES, branches), expected, atol=0, rtol=0)


def test_half_precision_keeps_the_coordinates_in_float32():
    decoder, branches = build(True)
    decoder, branches = decoder.bfloat16(), branches.bfloat16()
    output = decoder(memory().bfloat16(), SHAPES, branches)
    assert output.dtype is torch.float32
    assert (output * 256 % 1).any()  # finer than the 8 bits of bfloat16

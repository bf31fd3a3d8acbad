from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.helpers import oracle
from tests.helpers.models import randomise
from tfpose_mm.models.layers import DeformableAttention, DeformableTransformerDecoder, RegressionBranch

SHAPES = ((5, 3), (3, 2))
K, C = 5, 8


def build(query_attention=True, num_layers=3, **parts):
    decoder = DeformableTransformerDecoder(
        num_keypoints=K,
        num_layers=num_layers,
        embed_dims=C,
        num_levels=2,
        num_heads=2,
        num_points=2,
        feedforward_channels=12,
        query_attention=query_attention,
        **parts,
    )
    branches = nn.ModuleList(RegressionBranch(C) for _ in range(num_layers))
    return randomise(decoder).eval().double(), randomise(branches).double()


def memory(batch=3):
    return torch.randn(batch, 21, C, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def decode(decoder, branches, tokens=None, y0=None, records=None):
    """The coordinates of all layers, from the learned y_0 unless another one is given."""
    tokens = memory() if tokens is None else tokens
    return decoder(tokens, SHAPES, branches, decoder.learned_coordinates(len(tokens)) if y0 is None else y0, records)


@pytest.mark.parametrize("query_attention", [True, False])
def test_equation_4(query_attention):
    decoder, branches = build(query_attention)
    coordinates = decode(decoder, branches)
    position, query = (half.expand(3, K, C) for half in decoder.query_embedding.weight.split(C, dim=1))
    y0 = 1 / (1 + torch.exp(-decoder.reference_points)).expand(3, K, 2)
    expected = oracle.decode(decoder, branches, query, position, memory(), y0, SHAPES)
    assert coordinates.shape == (3, 3, K, 2)
    torch.testing.assert_close(coordinates, expected, atol=1e-9, rtol=0)


def test_layers_differ():
    """Each layer changes the coordinates, so the comparison with the reference is not trivial."""
    decoder, branches = build()
    y0 = decoder.reference_points.sigmoid().expand(1, 3, K, 2)
    coordinates = decode(decoder, branches)
    assert (torch.diff(torch.cat([y0, coordinates]), dim=0).abs().amax((1, 2, 3)) > 1e-2).all()


def test_queries_see_each_other_only_with_query_attention():
    for query_attention in (True, False):
        decoder, branches = build(query_attention)
        before = decode(decoder, branches)[-1]
        with torch.no_grad():
            decoder.query_embedding.weight[0] += 1
        after = decode(decoder, branches)[-1]
        assert ((before[:, 1:] - after[:, 1:]).abs().max() > 1e-6) == query_attention


def test_a_layer_takes_the_coordinates_before_it_as_given():
    decoder, branches = build()
    coordinates = decode(decoder, branches)
    y0, first = decoder.reference_points, branches[0].layers[-1].bias
    for parameter in (y0, first):
        assert torch.autograd.grad(coordinates[0].sum(), parameter, retain_graph=True)[0].abs().sum() > 0
    assert not torch.autograd.grad(coordinates[1].sum(), first)[0].any()


def test_an_untrained_decoder_predicts_y0():
    decoder, branches = build()
    for branch in branches:
        branch.init_weights()
    y0 = decoder.reference_points.sigmoid().expand(3, K, 2)
    torch.testing.assert_close(decode(decoder, branches)[-1], y0, atol=1e-5, rtol=0)


def test_initialising_leaves_queries_and_y0():
    decoder, _ = build()
    before = {name: parameter.clone() for name, parameter in decoder.named_parameters()}
    decoder.init_weights()
    same = [name for name, parameter in decoder.named_parameters() if torch.equal(parameter, before[name])]
    assert {"query_embedding.weight", "reference_points"} <= set(same)
    assert "layers.0.ffn.layers.1.weight" not in same


def test_sampling_offsets_start_as_in_mmcv():
    decoder, _ = build()
    decoder.init_weights()
    fresh = DeformableAttention(C, 2, 2, 2)
    for layer in decoder.layers:
        assert torch.equal(layer.cross_attn.sampling_offsets.bias, fresh.sampling_offsets.bias.double())
        assert not layer.cross_attn.sampling_offsets.weight.any()


@pytest.mark.parametrize("query_attention", [True, False])
def test_the_records_are_those_of_each_layer(query_attention):
    decoder, branches = build(query_attention)
    records = []
    coordinates = decode(decoder, branches, records=records)
    torch.testing.assert_close(coordinates, decode(decoder, branches), atol=1e-9, rtol=0)
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
    decoder, branches = build()
    for layer in decoder.layers:
        nn.init.zeros_(layer.cross_attn.sampling_offsets.weight)
        nn.init.zeros_(layer.cross_attn.sampling_offsets.bias)
    records = []
    coordinates = decode(decoder, branches, records=records)
    before = torch.cat([decoder.learned_coordinates(3)[None], coordinates[:-1]])
    for record, reference in zip(records, before):
        expected = reference[:, :, None, None, None].expand_as(record.sampling_locations)
        torch.testing.assert_close(record.sampling_locations, expected, atol=1e-12, rtol=0)


def test_y0_belongs_to_the_caller():
    decoder, branches = build()
    expected = decode(decoder, branches)
    with torch.no_grad():
        decoder.learned_coordinates(3).zero_()
    torch.testing.assert_close(decode(decoder, branches), expected, atol=0, rtol=0)


def test_half_precision_keeps_the_coordinates_in_float32():
    decoder, branches = build()
    decoder, branches = decoder.bfloat16(), branches.bfloat16()
    output = decode(decoder, branches, memory().bfloat16())
    assert output.dtype is torch.float32
    assert (output * 256 % 1).any()  # finer than the 8 bits of bfloat16


def test_another_y0_is_the_coordinates_of_the_first_layer():
    decoder, branches = build(learned_start=False)
    assert "reference_points" not in decoder.state_dict()
    y0 = torch.rand(3, K, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, _ = build()
    plain.load_state_dict(decoder.state_dict(), strict=False)
    torch.testing.assert_close(decode(decoder, branches, y0=y0), decode(plain, branches, y0=y0))
    assert (decode(plain, branches, y0=y0) - decode(plain, branches)).abs().max() > 1e-3


@pytest.mark.parametrize(
    "parts", [("reference_position",), ("token_position",), ("reference_position", "token_position")]
)
def test_positions_change_the_coordinates_of_each_image_alone(parts):
    torch.manual_seed(0)
    decoder, branches = build(**dict.fromkeys(parts, True))
    plain, _ = build()
    plain.load_state_dict(decoder.state_dict(), strict=False)
    records = []
    coordinates = decode(decoder, branches, records=records)
    assert len(records) == 3
    assert ((coordinates > 0) & (coordinates < 1)).all()
    assert (coordinates - decode(plain, branches)).abs().max() > 1e-3
    single = torch.cat([decode(decoder, branches, memory()[i : i + 1]) for i in range(3)], dim=1)
    torch.testing.assert_close(coordinates, single)


def test_positions_against_the_oracle():
    """A query gets MLP(sine(y_{d-1})) and values get their position: the oracle computes layer by layer."""
    decoder, branches = build(num_layers=1, reference_position=True, token_position=True)
    position, query = (half.expand(3, K, C) for half in decoder.query_embedding.weight.split(C, dim=1))
    y0 = torch.rand(3, K, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values = memory() + decoder.token_position(SHAPES)
    located = position + decoder.reference_position(y0)
    expected = oracle.decode(decoder, branches, query, located, values, y0, SHAPES)
    torch.testing.assert_close(decode(decoder, branches, y0=y0), expected, atol=1e-9, rtol=0)


def test_positions_in_half_precision_keep_the_coordinates_in_float32():
    decoder, branches = build(reference_position=True, token_position=True)
    output = decode(decoder.bfloat16(), branches.bfloat16(), memory().bfloat16())
    assert output.dtype is torch.float32


def test_positions_need_a_multiple_of_four_channels():
    with pytest.raises(ValueError, match=r"TokenPosition needs a multiple of 4 channels .* but got 6"):
        DeformableTransformerDecoder(K, 1, 6, num_levels=2, num_heads=2, token_position=True)
    with pytest.raises(ValueError, match=r"CoordinateEmbedding needs a multiple of 4 channels .* but got 6"):
        DeformableTransformerDecoder(K, 1, 6, num_levels=2, num_heads=2, reference_position=True)

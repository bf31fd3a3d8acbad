from __future__ import annotations

import math

import torch
from torch import nn

from tests.helpers import oracle
from tests.helpers.models import randomise
from tfpose_mm.models.layers import DeformableTransformerEncoder
from tfpose_mm.models.layers.positions import embed_token_positions
from tfpose_mm.models.layers.token_maps import encoder_reference_points

SHAPES = ((4, 3), (2, 1))
C = 8


def position_of(encoder):
    return embed_token_positions(encoder.positional_encoding, encoder.level_embed, SHAPES)


def test_a_layer_equals_the_formula():
    encoder = DeformableTransformerEncoder(
        1, embed_dims=C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12, dropout=0.1
    )
    encoder = randomise(encoder).eval().double()
    tokens, position = torch.randn(3, 14, C).double(), position_of(encoder)
    centres = encoder_reference_points(SHAPES, tokens.device)[:, :, 0].double().expand(3, -1, -1)
    layer = encoder.layers[0]
    expected = oracle.deformable_attention(layer.self_attn, tokens, position, tokens, centres, SHAPES)
    expected = oracle.layer_norm(layer.norms[0], expected)
    hidden = torch.relu(expected @ layer.ffn.layers[0][0].weight.T + layer.ffn.layers[0][0].bias)
    expected = expected + hidden @ layer.ffn.layers[1].weight.T + layer.ffn.layers[1].bias
    expected = oracle.layer_norm(layer.norms[1], expected)
    # the encoder computes its centres in float32
    torch.testing.assert_close(encoder(tokens, SHAPES), expected, atol=1e-6, rtol=0)


def test_half_precision_has_its_position():
    """Otherwise half precision plus a float32 position gives float32, which no layer of the model accepts."""
    encoder = DeformableTransformerEncoder(
        1, embed_dims=C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12
    )
    tokens = torch.randn(3, 14, C)
    expected = randomise(encoder).eval()(tokens, SHAPES)
    output = encoder.bfloat16()(tokens.bfloat16(), SHAPES)
    assert output.dtype is torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=0.1, rtol=0)


def test_position_is_level_plus_sine_and_cosine():
    """Pixel (1, 2) of the 4 x 3 level, from the formula: half of the channels encode y, half x."""
    encoder = DeformableTransformerEncoder(
        1, embed_dims=C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12
    )
    expected = []
    for centre in (1.5 / 4, 2.5 / 3):
        for wavelength in (1, 10000 ** (2 / 4)):
            angle = 2 * math.pi * centre / wavelength
            expected += [math.sin(angle), math.cos(angle)]
    expected = torch.tensor(expected) + encoder.level_embed[0]
    torch.testing.assert_close(position_of(encoder)[0, 1 * 3 + 2], expected, atol=1e-5, rtol=0)


def test_the_records_are_those_of_each_layer():
    encoder = DeformableTransformerEncoder(2, embed_dims=C, num_levels=2, num_heads=2, num_points=3, dropout=0.0)
    encoder, tokens = randomise(encoder), torch.randn(3, 14, C)
    records = []
    torch.testing.assert_close(encoder(tokens, SHAPES, records), encoder(tokens, SHAPES), atol=0, rtol=0)
    assert [tuple(record.sampling_locations.shape) for record in records] == [(3, 14, 2, 2, 3, 2)] * 2
    for record in records:
        torch.testing.assert_close(record.attention_weights.sum((3, 4)), torch.ones(3, 14, 2))


def test_what_a_caller_changes_stays_with_the_caller():
    """Positions and reference points are not shared between calls."""
    encoder = DeformableTransformerEncoder(1, embed_dims=C, num_levels=2, num_heads=2, num_points=2)
    encoder, tokens = randomise(encoder).eval(), torch.randn(3, 14, C)
    with torch.no_grad():
        expected = encoder(tokens, SHAPES)
        position_of(encoder).mul_(2)
        encoder_reference_points(SHAPES, tokens.device).mul_(2)
        assert torch.equal(encoder(tokens, SHAPES), expected)


class Threes(nn.Module):
    def forward(self, mask):
        return torch.full((1, C, *mask.shape[1:]), 3.0)


def test_the_position_is_computed_by_its_module():
    """Replacing the module changes the position, so the position is computed nowhere else."""
    encoder = DeformableTransformerEncoder(1, embed_dims=C, num_levels=2, num_heads=2, num_points=2)
    encoder.positional_encoding = Threes()
    expected = torch.cat([encoder.level_embed[0].expand(12, -1), encoder.level_embed[1].expand(2, -1)]) + 3
    torch.testing.assert_close(position_of(encoder)[0], expected)

from __future__ import annotations

import math

import torch

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


def test_training_changes_no_view_in_place():
    """Autograd would copy the hidden layer of the FFN several times."""
    encoder = DeformableTransformerEncoder(1, C, 2, num_heads=2)
    waiting, seen = [encoder(torch.randn(3, 14, C, requires_grad=True), SHAPES).grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    names = {type(node).__name__ for node in seen}
    assert "ReluBackward0" in names
    assert "CopySlices" not in names

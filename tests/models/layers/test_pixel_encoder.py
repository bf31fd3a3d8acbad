from __future__ import annotations

import math

import torch

from tests.helpers import oracle
from tests.helpers.models import randomise
from tfpose_mm.models.layers import PixelEncoder, token_centres

SHAPES = ((4, 3), (2, 1))
C = 8


def test_a_layer_equals_the_formula():
    encoder = PixelEncoder(
        1, embed_dims=C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12, dropout=0.1
    )
    encoder = randomise(encoder).eval().double()
    tokens, position = torch.randn(3, 14, C).double(), encoder.position(SHAPES)
    centres = token_centres(SHAPES, tokens.device)[:, :, 0].double().expand(3, -1, -1)
    layer = encoder.layers[0]
    expected = oracle.deformable_attention(layer.self_attn, tokens, position, tokens, centres, SHAPES)
    expected = oracle.layer_norm(layer.norms[0], expected)
    hidden = torch.relu(expected @ layer.ffn.layers[0][0].weight.T + layer.ffn.layers[0][0].bias)
    expected = expected + hidden @ layer.ffn.layers[1].weight.T + layer.ffn.layers[1].bias
    expected = oracle.layer_norm(layer.norms[1], expected)
    # the encoder's own centres are float32
    torch.testing.assert_close(encoder(tokens, SHAPES), expected, atol=1e-6, rtol=0)


def test_half_precision_has_its_position():
    """Else half precision plus a float32 position would be float32, which no layer of the model takes."""
    encoder = PixelEncoder(1, embed_dims=C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12)
    tokens = torch.randn(3, 14, C)
    expected = randomise(encoder).eval()(tokens, SHAPES)
    output = encoder.bfloat16()(tokens.bfloat16(), SHAPES)
    assert output.dtype is torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=0.1, rtol=0)


def test_position_is_level_plus_sine_and_cosine():
    """Pixel (1, 2) of the level of 4 x 3, from the formula: half of the channels say y, half x."""
    encoder = PixelEncoder(1, embed_dims=C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12)
    expected = []
    for centre in (1.5 / 4, 2.5 / 3):
        for wavelength in (1, 10000 ** (2 / 4)):
            angle = 2 * math.pi * centre / wavelength
            expected += [math.sin(angle), math.cos(angle)]
    expected = torch.tensor(expected) + encoder.level_embed[0]
    torch.testing.assert_close(encoder.position(SHAPES)[0, 1 * 3 + 2], expected, atol=1e-5, rtol=0)

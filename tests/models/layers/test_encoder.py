from __future__ import annotations

import math

import torch

from tests.helpers import oracle
from tests.helpers.models import feature_maps, randomise
from tfpose_mm.models.layers import DeformableTransformerEncoder
from tfpose_mm.models.layers.positions import embed_token_positions
from tfpose_mm.models.layers.token_maps import maps_to_tokens, tokens_to_maps

SHAPES = ((4, 3), (2, 1))
C = 8


def build():
    return DeformableTransformerEncoder(1, C, num_levels=2, num_heads=2, num_points=2, feedforward_channels=12)


def position_of(encoder):
    return embed_token_positions(encoder.positional_encoding, encoder.level_embed, SHAPES)


def test_a_layer_equals_the_formula():
    encoder = randomise(build()).eval().double()
    tokens = torch.randn(3, 14, C).double()
    centres = torch.tensor([((x + 0.5) / w, (y + 0.5) / h) for h, w in SHAPES for y in range(h) for x in range(w)])
    layer, centres = encoder.layers[0], centres.double().expand(3, -1, -1)
    expected = oracle.deformable_attention(layer.self_attn, tokens, position_of(encoder), tokens, centres, SHAPES)
    expected = oracle.layer_norm(layer.norms[1], oracle.ffn(layer.ffn, oracle.layer_norm(layer.norms[0], expected)))
    # the encoder computes its centres in float32
    torch.testing.assert_close(encoder(tokens, SHAPES), expected, atol=1e-6, rtol=0)


def test_position_is_level_plus_sine_and_cosine():
    """Pixel (1, 2) of the 4 x 3 level, from the formula: half of the channels encode y, half x."""
    encoder, expected = build(), []
    for centre in (1.5 / 4, 2.5 / 3):
        for wavelength in (1, 10000 ** (2 / 4)):
            angle = 2 * math.pi * centre / wavelength
            expected += [math.sin(angle), math.cos(angle)]
    expected = torch.tensor(expected) + encoder.level_embed[0]
    torch.testing.assert_close(position_of(encoder)[0, 1 * 3 + 2], expected, atol=1e-5, rtol=0)


def test_training_changes_no_view_in_place():
    """Autograd would copy the hidden layer of the FFN several times."""
    waiting, seen = [build()(torch.randn(3, 14, C, requires_grad=True), SHAPES).grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    names = {type(node).__name__ for node in seen}
    assert "ReluBackward0" in names
    assert "CopySlices" not in names


def test_maps_to_tokens_and_back():
    maps = feature_maps((6, 6), SHAPES)
    tokens, shapes = maps_to_tokens(maps)
    assert tokens.shape == (3, 14, 6)
    assert shapes == SHAPES
    assert torch.equal(tokens[:, 2 * 3 + 1], maps[0][:, :, 2, 1])  # rows come first
    for before, after in zip(maps, tokens_to_maps(tokens, shapes)):
        assert torch.equal(before, after)

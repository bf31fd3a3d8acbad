from __future__ import annotations

import torch

from tests.helpers.models import feature_maps
from tfpose_mm.models.layers.token_maps import encoder_reference_points, maps_to_tokens, tokens_to_maps

SHAPES = ((5, 3), (2, 4))


def test_there_and_back():
    maps = feature_maps((6, 6), SHAPES)
    tokens, shapes = maps_to_tokens(maps)
    assert tokens.shape == (3, 23, 6)
    assert shapes == SHAPES
    for before, after in zip(maps, tokens_to_maps(tokens, shapes)):
        assert torch.equal(before, after)
    assert torch.equal(tokens[:, 2 * 3 + 1], maps[0][:, :, 2, 1])  # rows come first


def test_centres():
    centres = encoder_reference_points(SHAPES, torch.device("cpu"))
    assert centres.shape == (1, 23, 1, 2)
    torch.testing.assert_close(centres[0, 2 * 3 + 1, 0], torch.tensor([1.5 / 3, 2.5 / 5]))
    torch.testing.assert_close(centres[0, 15 + 4 + 3, 0], torch.tensor([3.5 / 4, 1.5 / 2]))

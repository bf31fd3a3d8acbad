from __future__ import annotations

import pytest
import torch

from tests.helpers.models import randomise
from tfpose_mm.export.folded_attention import GridSampleAttention, fold_attention
from tfpose_mm.models.layers import DeformableAttention, DeformableTransformerEncoder

SHAPES = ((15, 11), (8, 6), (4, 3))
PIXELS = sum(h * w for h, w in SHAPES)


@pytest.mark.parametrize("shapes", [SHAPES, SHAPES[:1], ((5, 1), (1, 4), (1, 1)), ((2, 2), (1, 1), (2, 3))])
@pytest.mark.parametrize("queries", [1, 13, PIXELS])
def test_it_computes_deformable_attention(shapes, queries):
    attention = randomise(DeformableAttention(24, 3, len(shapes), 2)).eval()
    pixels = sum(h * w for h, w in shapes)
    queries = min(queries, pixels)
    query, value, position = torch.randn(5, queries, 24), torch.randn(5, pixels, 24), torch.randn(1, queries, 24)
    points = torch.rand(5, queries, 1, 2) * 1.2 - 0.1  # also outside
    exported = GridSampleAttention(attention)
    for query_pos in (None, position):
        expected = attention(query, value, points, shapes, query_pos=query_pos)
        torch.testing.assert_close(exported(query, value, points, shapes, query_pos=query_pos), expected)


def test_few_queries_need_no_projection_of_all_values():
    attention = randomise(DeformableAttention(24, 3, 3, 2)).eval()
    exported = GridSampleAttention(attention)
    sizes = []
    exported.value_proj.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[1]))
    value = torch.randn(1, PIXELS, 24)
    for queries in (3, PIXELS):
        exported(torch.randn(1, queries, 24), value, torch.rand(1, queries, 1, 2), SHAPES)
    assert sizes == [PIXELS]


def test_every_attention_of_a_model_is_replaced():
    encoder = DeformableTransformerEncoder(2, 24, 3, num_heads=3)
    fold_attention(encoder)
    assert not [module for module in encoder.modules() if isinstance(module, DeformableAttention)]
    assert sum(isinstance(module, GridSampleAttention) for module in encoder.modules()) == 2

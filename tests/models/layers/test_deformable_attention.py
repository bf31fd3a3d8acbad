from __future__ import annotations

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention
from torch import nn

from tests.helpers.models import build, randomise, tiny_model_cfg
from tfpose_mm.models import set_attn_implementation
from tfpose_mm.models.layers import DeformableAttention
from tfpose_mm.ops import multi_scale_deformable_attention

SHAPES = ((5, 3), (3, 2), (2, 1))
NUM_TOKENS = 23


def test_equals_mmcv_with_the_same_parameters_and_records_what_was_attended_to():
    ours = randomise(DeformableAttention(12, num_heads=2, num_levels=3, num_points=2, dropout=0.0))
    theirs = MultiScaleDeformableAttention(12, 2, 3, 2, dropout=0.0, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, memory, position = torch.randn(3, 5, 12), torch.randn(3, NUM_TOKENS, 12), torch.randn(1, 5, 12)
    reference, records = torch.rand(3, 5, 1, 2), []
    expected = theirs(
        query,
        value=memory,
        query_pos=position,
        reference_points=reference.expand(-1, -1, 3, -1),
        spatial_shapes=torch.tensor(SHAPES),
        level_start_index=torch.tensor([0, 15, 21]),
    )
    output = ours(query, memory, reference, SHAPES, query_pos=position)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours(query, memory, reference, SHAPES, query_pos=position, records=records), output)
    ((locations, weights, _),) = records
    assert locations.shape == (3, 5, 2, 3, 2, 2)
    torch.testing.assert_close(weights.sum((3, 4)), torch.ones(3, 5, 2))
    values = ours.value_proj(memory).view(3, NUM_TOKENS, 2, 6)
    again = ours.output_proj(multi_scale_deformable_attention(values, SHAPES, locations, weights)) + query
    torch.testing.assert_close(again, output, atol=1e-6, rtol=0)


def test_one_call_sets_the_implementation_of_a_whole_model():
    model = build(tiny_model_cfg())
    attentions = [module for module in model.modules() if isinstance(module, DeformableAttention)]
    assert len(attentions) == 3
    for implementation in ("grid_sample", None):
        set_attn_implementation(model, implementation)
        assert {module.attn_implementation for module in attentions} == {implementation}
    with pytest.raises(ValueError, match="implementations cuda, grid_sample, but got 'flash'"):
        set_attn_implementation(model, "flash")
    with pytest.raises(ValueError, match="needs a model with deformable attention, but Linear has none"):
        set_attn_implementation(nn.Linear(2, 2), "grid_sample")

from __future__ import annotations

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention, multi_scale_deformable_attn_pytorch

from tests import oracle
from tests.conftest import randomise
from tfpose_mm.models.layers import DeformableAttention, attend, attend_by_grid_sample, has_cuda_kernel

needs_kernel = pytest.mark.skipif(
    not (torch.cuda.is_available() and has_cuda_kernel()), reason="needs a CUDA device and mmcv built with CUDA"
)
SHAPES = ((5, 3), (3, 2), (2, 1))
NUM_TOKENS = 23


def inputs(batch=3, queries=4, heads=2, dims=3, points=4, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    levels = len(SHAPES)
    value = torch.randn(batch, NUM_TOKENS, heads, dims, generator=generator, dtype=dtype)
    locations = torch.rand(batch, queries, heads, levels, points, 2, generator=generator, dtype=dtype) * 1.4 - 0.2
    weights = torch.rand(batch, queries, heads, levels * points, generator=generator, dtype=dtype).softmax(-1)
    weights = weights.view(batch, queries, heads, levels, points)
    return tuple(tensor.to(device) for tensor in (value, locations, weights))


def test_equals_the_formula():
    value, locations, weights = inputs()
    expected = oracle.attend(value, SHAPES, locations, weights)
    torch.testing.assert_close(attend(value, SHAPES, locations, weights), expected, atol=1e-12, rtol=0)


def test_equals_mmcv_forward_and_backward():
    ours, theirs = inputs(), inputs()
    for tensor in (*ours, *theirs):
        tensor.requires_grad_()
    output = attend(ours[0], SHAPES, ours[1], ours[2])
    expected = multi_scale_deformable_attn_pytorch(theirs[0], torch.tensor(SHAPES), theirs[1], theirs[2])
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    direction = torch.randn_like(expected)
    for gradient, reference in zip(
        torch.autograd.grad(output, ours, direction), torch.autograd.grad(expected, theirs, direction)
    ):
        torch.testing.assert_close(gradient, reference, atol=1e-10, rtol=0)


def test_gradients_are_those_of_the_function():
    tensors = tuple(t.requires_grad_() for t in inputs(batch=1, queries=2, heads=1, dims=2, points=2))
    assert torch.autograd.gradcheck(lambda v, x, w: attend_by_grid_sample(v, SHAPES, x, w), tensors)


def test_module_equals_mmcv_with_the_same_parameters():
    ours = randomise(DeformableAttention(12, num_heads=2, num_levels=3, num_points=2, dropout=0.0))
    theirs = MultiScaleDeformableAttention(12, 2, 3, 2, dropout=0.0, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, position, memory = torch.randn(3, 5, 12), torch.randn(1, 5, 12), torch.randn(3, NUM_TOKENS, 12)
    reference = torch.rand(3, 5, 1, 2)
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


def test_heads_must_divide_channels():
    with pytest.raises(ValueError, match="divisible by num_heads"):
        DeformableAttention(12, num_heads=5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
def test_half_precision_is_computed_in_float32(dtype, tolerance):
    """Only values and result are rounded; a location rounded to bfloat16 would miss by a twentieth of a cell."""
    value, locations, weights = inputs(dtype=torch.float32)
    output = attend(value.to(dtype), SHAPES, locations, weights)
    assert output.dtype is dtype
    exact = attend(value.to(dtype).float(), SHAPES, locations, weights)
    torch.testing.assert_close(output.float(), exact, atol=tolerance, rtol=tolerance)


@pytest.mark.gpu
@needs_kernel
@pytest.mark.parametrize("batch", [1, 3, 65, 100, 129])
def test_cuda_equals_cpu_for_any_batch(batch):
    expected = attend(*_with_shapes(inputs(batch, heads=8, dims=32, dtype=torch.float32)))
    output = attend(*_with_shapes(inputs(batch, heads=8, dims=32, dtype=torch.float32, device="cuda")))
    torch.testing.assert_close(output.cpu(), expected, atol=1e-5, rtol=0)


@pytest.mark.gpu
@needs_kernel
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 1e-2)])
def test_cuda_half_precision(dtype, tolerance):
    value, locations, weights = inputs(heads=8, dims=32, dtype=torch.float32, device="cuda")
    output = attend(value.to(dtype), SHAPES, locations, weights)
    assert output.dtype is dtype
    expected = attend(value.to(dtype).float(), SHAPES, locations, weights)
    torch.testing.assert_close(output.float(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.gpu
@needs_kernel
def test_cuda_trains_after_inference_mode():
    value, locations, weights = inputs(heads=8, dims=32, dtype=torch.float32, device="cuda")
    with torch.inference_mode():
        attend(value, SHAPES, locations, weights)
    attend(value.requires_grad_(), SHAPES, locations, weights).sum().backward()
    assert value.grad.abs().sum() > 0


def _with_shapes(tensors):
    value, locations, weights = tensors
    return value, SHAPES, locations, weights

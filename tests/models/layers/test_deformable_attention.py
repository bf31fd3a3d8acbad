from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttention, multi_scale_deformable_attn_pytorch

from tests.helpers import oracle
from tests.helpers.models import randomise
from tfpose_mm.models.layers import (
    DeformableAttention,
    attend,
    attend_by_gather,
    attend_by_grid_sample,
    cpu_attention,
    deformable_attention,
    has_cuda_kernel,
)

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


CORES = pytest.mark.parametrize("core", [attend_by_gather, attend_by_grid_sample])


@CORES
def test_equals_the_formula(core):
    value, locations, weights = inputs()
    expected = oracle.attend(value, SHAPES, locations, weights)
    torch.testing.assert_close(core(value, SHAPES, locations, weights), expected, atol=1e-12, rtol=0)


@CORES
def test_equals_mmcv_forward_and_backward(core):
    ours, theirs = inputs(), inputs()
    compare_with_mmcv(core, ours, theirs, SHAPES)


@CORES
def test_equals_mmcv_on_the_kinks_of_the_interpolation(core):
    """Untrained heads sample exactly on pixels; sides are powers of 2, so that each core computes these exactly."""
    shapes = ((4, 2), (2, 4), (4, 1))
    ours, theirs = inputs(), inputs()
    sizes = torch.tensor(shapes).flip(1)[:, None]
    for tensors in (ours, theirs):
        tensors[0].resize_(3, 20, 2, 3)
        tensors[1].copy_(((tensors[1] * sizes).round() + 0.5) / sizes)
    compare_with_mmcv(core, ours, theirs, shapes)


def compare_with_mmcv(core, ours, theirs, shapes):
    for tensor in (*ours, *theirs):
        tensor.requires_grad_()
    output = core(ours[0], shapes, ours[1], ours[2])
    expected = multi_scale_deformable_attn_pytorch(theirs[0], torch.tensor(shapes), theirs[1], theirs[2])
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    direction = torch.randn_like(expected)
    for gradient, reference in zip(
        torch.autograd.grad(output, ours, direction), torch.autograd.grad(expected, theirs, direction)
    ):
        torch.testing.assert_close(gradient, reference, atol=1e-10, rtol=0)


@CORES
def test_gradients_are_those_of_the_function(core):
    tensors = tuple(t.requires_grad_() for t in inputs(batch=1, queries=2, heads=1, dims=2, points=2))
    assert torch.autograd.gradcheck(lambda v, x, w: core(v, SHAPES, x, w), tensors)


def test_an_older_torch_has_the_same_gradients(monkeypatch):
    ours, expected = inputs(), inputs()
    monkeypatch.setattr(cpu_attention, "CAN_SAMPLE", False)
    compare_with_mmcv(attend_by_gather, ours, expected, SHAPES)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_each_gradient_can_be_had_alone(wanted):
    tensors = inputs()
    expected = inputs()
    for group in (tensors, expected):
        group[wanted].requires_grad_()
    attend_by_gather(tensors[0], SHAPES, *tensors[1:]).square().sum().backward()
    attend_by_grid_sample(expected[0], SHAPES, *expected[1:]).square().sum().backward()
    torch.testing.assert_close(tensors[wanted].grad, expected[wanted].grad, atol=1e-10, rtol=0)


@pytest.mark.parametrize("trains", [False, True])
def test_far_and_undefined_locations(trains):
    """A diverged model shows as NaN, not as a crash or as numbers; what is infinitely far away is 0, as far away."""
    value, locations, weights = inputs(dtype=torch.float32)
    locations[0, 0] = 1e30
    locations[0, 1] = -float("inf")
    locations[1, 2] = float("nan")
    output = attend_by_gather(value, SHAPES, locations.requires_grad_(trains), weights).detach()
    assert torch.equal(output[0, :2], torch.zeros_like(output[0, :2]))
    assert output[1, 2].isnan().all()
    assert output.isnan().sum() == output[1, 2].numel()


def test_what_is_infinitely_far_away_has_no_gradient():
    value, locations, weights = inputs()
    locations[0, 1] = float("inf")
    attend_by_gather(value, SHAPES, locations.requires_grad_(), weights).sum().backward()
    assert torch.equal(locations.grad[0, 1], torch.zeros_like(locations.grad[0, 1]))
    assert locations.grad[0, 0].abs().max() > 0
    assert locations.grad.isfinite().all()


@pytest.mark.parametrize("piece", [1, 70, 400])
def test_pieces_of_the_batch_make_the_whole(monkeypatch, piece):
    """An image has 96 samples: images one by one, and in groups that do not divide the batch of 5."""
    value, locations, weights = inputs(batch=5)
    expected = attend_by_gather(value, SHAPES, locations, weights)
    monkeypatch.setattr(cpu_attention, "PIECE", piece)
    calls = []
    monkeypatch.setattr(
        cpu_attention, "_neighbours", lambda *args, f=cpu_attention._neighbours: calls.append(1) or f(*args)
    )
    with torch.no_grad():
        assert torch.equal(attend_by_gather(value, SHAPES, locations, weights), expected)
    assert len(calls) == 2 * (2 if piece == 400 else 5)


def test_the_cpu_trains_after_inference_mode():
    value, locations, weights = inputs(dims=5)
    with torch.inference_mode():
        attend_by_gather(value, SHAPES, locations, weights)
    attend_by_gather(value.requires_grad_(), SHAPES, locations, weights).sum().backward()
    assert value.grad.abs().sum() > 0


def test_the_first_gradient_warns_of_nothing():
    """In a process of its own: torch warns of its sparse tensors once."""
    code = (
        "import torch; from tfpose_mm.models.layers.cpu_attention import _WeightedRows as rows; import warnings;"
        "warnings.simplefilter('error');"
        "weight = torch.ones(2, 3, requires_grad=True);"
        "rows.apply(torch.ones(5, 4), torch.zeros(2, 3, dtype=torch.int32), weight).sum().backward();"
        "assert weight.grad.eq(4).all()"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-2000:]


@CORES
def test_any_memory_layout_gives_the_same(core):
    value, locations, weights = inputs()
    expected = core(value, SHAPES, locations, weights)
    inner = locations.permute(0, 2, 3, 4, 5, 1).contiguous().permute(0, 5, 1, 2, 3, 4)
    first = weights.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    strided = value.transpose(1, 3).contiguous().transpose(1, 3)
    torch.testing.assert_close(core(strided, SHAPES, inner, first), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shapes", [((5, 3), (3, 2)), ((5, 3), (3, 2), (2, 2)), ((5, 3), (8, 1))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    value, locations, weights = inputs()
    with pytest.raises(ValueError, match=r"pixels on . levels, but there are 23 values, and locations on 3"):
        attend(value, shapes, locations, weights)


def test_second_derivatives_are_refused_in_words():
    value, locations, weights = inputs()
    output = attend_by_gather(value.requires_grad_(), SHAPES, locations, weights)
    (gradient,) = torch.autograd.grad(output.square().sum(), value, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_trace_holds_what_can_be_exported():
    value, locations, weights = inputs(dtype=torch.float32)
    traced = torch.jit.trace(lambda v, x, w: attend(v, SHAPES, x, w), (value, locations, weights), check_trace=False)
    assert "grid_sampler" in str(traced.graph)
    torch.testing.assert_close(traced(value, locations, weights), attend(value, SHAPES, locations, weights))


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


@pytest.mark.parametrize("value_tokens", [SHAPES, ((16, 12), (8, 6), (4, 3))])
def test_few_queries_project_what_they_have_summed(monkeypatch, value_tokens):
    """As many as the values project all; both as with gradients, where all values are projected."""
    calls = []
    original = deformable_attention.attend_then_project
    monkeypatch.setattr(deformable_attention, "attend_then_project", lambda *args: calls.append(1) or original(*args))
    ours = randomise(DeformableAttention(12, num_heads=2, num_levels=3, num_points=2, dropout=0.0))
    query, memory = torch.randn(3, 5, 12), torch.randn(3, sum(h * w for h, w in value_tokens), 12)
    reference = torch.rand(3, 5, 1, 2) * 1.4 - 0.2  # some samples outside, where not even the bias counts
    expected = ours(query, memory, reference, value_tokens)
    assert calls == []
    with torch.inference_mode():
        torch.testing.assert_close(ours(query, memory, reference, value_tokens), expected, atol=1e-5, rtol=1e-5)
        assert calls == ([] if value_tokens is SHAPES else [1])
        with pytest.raises(ValueError, match="give each level's"):
            ours(query, memory[:, 1:], reference, value_tokens)
        doubled = reference.double().expand(3, -1, -1, -1)
        torch.testing.assert_close(ours(query, memory, doubled, value_tokens), expected, atol=1e-5, rtol=1e-5)
        ours.value_proj.register_forward_hook(lambda *args: calls.append("hook"))
        torch.testing.assert_close(ours(query, memory, reference, value_tokens), expected, atol=1e-5, rtol=1e-5)
    assert calls[-1] == "hook"


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
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3, 65, 129])
def test_cuda_has_the_gradients_of_the_cpu(batch, dtype):
    """Locations keep away from the interpolation's kinks, on either side of which the gradients differ."""
    value, locations, weights = inputs(batch, heads=8, dims=32, dtype=torch.float32)
    sizes = torch.tensor(SHAPES).flip(1)[:, None]
    pixels = locations * sizes - 0.5
    locations = (pixels.floor() + (pixels - pixels.floor()).clamp(0.01, 0.99) + 0.5) / sizes
    value = value.to(dtype)
    expected = _gradients(value.float(), locations, weights)
    gradients = _gradients(value.cuda(), locations.cuda(), weights.cuda())
    tolerance = 1e-4 if dtype is torch.float32 else 2e-2  # that of the values is rounded
    for gradient, reference in zip(gradients, expected):
        scale = reference.abs().max()
        torch.testing.assert_close(gradient.cpu().float() / scale, reference / scale, atol=tolerance, rtol=0)


def _gradients(value, locations, weights):
    tensors = [tensor.requires_grad_() for tensor in (value, locations, weights)]
    output = attend(value, SHAPES, locations, weights)
    direction = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output)
    return torch.autograd.grad(output, tensors, direction)


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

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

from tests.helpers import oracle
from tfpose_mm.ops import has_cuda_kernel, level_sizes, multi_scale_deformable_attention

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


def attend(tensors, shapes=SHAPES, implementation=None):
    value, locations, weights = tensors
    return multi_scale_deformable_attention(value, shapes, locations, weights, implementation)


CPU = pytest.mark.parametrize("implementation", ["gather", "grid_sample"])


@CPU
def test_equals_the_formula(implementation):
    value, locations, weights = inputs()
    expected = oracle.attend(value, SHAPES, locations, weights)
    torch.testing.assert_close(
        attend((value, locations, weights), SHAPES, implementation), expected, atol=1e-12, rtol=0
    )


@CPU
def test_equals_mmcv_forward_and_backward(implementation):
    compare_with_mmcv(implementation, inputs(), inputs(), SHAPES)


@CPU
def test_equals_mmcv_where_the_interpolation_has_kinks(implementation):
    """Untrained heads sample exactly at pixel centres; sides are powers of 2, so that the centres are exact."""
    shapes = ((4, 2), (2, 4), (4, 1))
    ours, theirs = inputs(), inputs()
    sizes = torch.tensor(shapes).flip(1)[:, None]
    for tensors in (ours, theirs):
        tensors[0].resize_(3, 20, 2, 3)
        tensors[1].copy_(((tensors[1] * sizes).round() + 0.5) / sizes)
    compare_with_mmcv(implementation, ours, theirs, shapes)


def compare_with_mmcv(implementation, ours, theirs, shapes):
    for tensor in (*ours, *theirs):
        tensor.requires_grad_()
    output = attend(ours, shapes, implementation)
    expected = multi_scale_deformable_attn_pytorch(theirs[0], torch.tensor(shapes), theirs[1], theirs[2])
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    direction = torch.randn_like(expected)
    for gradient, reference in zip(
        torch.autograd.grad(output, ours, direction), torch.autograd.grad(expected, theirs, direction)
    ):
        torch.testing.assert_close(gradient, reference, atol=1e-10, rtol=0)


@CPU
def test_gradients_are_those_of_the_function(implementation):
    tensors = tuple(t.requires_grad_() for t in inputs(batch=1, queries=2, heads=1, dims=2, points=2))
    assert torch.autograd.gradcheck(lambda *inputs: attend(inputs, SHAPES, implementation), tensors)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_each_gradient_can_be_had_alone(wanted):
    gathered, sampled = inputs(), inputs()
    for tensors in (gathered, sampled):
        tensors[wanted].requires_grad_()
    attend(gathered, SHAPES, "gather").square().sum().backward()
    attend(sampled, SHAPES, "grid_sample").square().sum().backward()
    torch.testing.assert_close(gathered[wanted].grad, sampled[wanted].grad, atol=1e-10, rtol=0)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_location_far_outside_samples_zero_and_nan_gives_nan(requires_grad):
    value, locations, weights = inputs(dtype=torch.float32)
    locations[0, 0] = 1e30
    locations[0, 1] = -float("inf")
    locations[1, 2] = float("nan")
    output = attend((value, locations.requires_grad_(requires_grad), weights), SHAPES, "gather").detach()
    assert torch.equal(output[0, :2], torch.zeros_like(output[0, :2]))
    assert output[1, 2].isnan().all()
    assert output.isnan().sum() == output[1, 2].numel()


def test_an_infinite_location_gets_no_gradient():
    value, locations, weights = inputs()
    locations[0, 1] = float("inf")
    attend((value, locations.requires_grad_(), weights), SHAPES, "gather").sum().backward()
    assert torch.equal(locations.grad[0, 1], torch.zeros_like(locations.grad[0, 1]))
    assert locations.grad[0, 0].abs().max() > 0
    assert locations.grad.isfinite().all()


def test_the_cpu_trains_after_inference_mode():
    value, locations, weights = inputs(dims=5)
    with torch.inference_mode():
        attend((value, locations, weights))
    attend((value.requires_grad_(), locations, weights)).sum().backward()
    assert value.grad.abs().sum() > 0


@pytest.mark.slow
def test_the_first_gradient_warns_of_nothing():
    """In a new process, because torch warns of sparse tensors only once."""
    code = (
        "import torch; from tfpose_mm.ops import multi_scale_deformable_attention as attend; import warnings;"
        "warnings.simplefilter('error');"
        "weights = torch.ones(1, 2, 1, 1, 3, requires_grad=True);"
        "attend(torch.ones(1, 6, 1, 4), ((2, 3),), torch.full((1, 2, 1, 1, 3, 2), 0.5), weights).sum().backward();"
        "assert weights.grad.eq(4).all()"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-2000:]


@CPU
def test_any_memory_layout_gives_the_same(implementation):
    value, locations, weights = inputs()
    expected = attend((value, locations, weights), SHAPES, implementation)
    inner = locations.permute(0, 2, 3, 4, 5, 1).contiguous().permute(0, 5, 1, 2, 3, 4)
    first = weights.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    strided = value.transpose(1, 3).contiguous().transpose(1, 3)
    torch.testing.assert_close(attend((strided, inner, first), SHAPES, implementation), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shapes", [((5, 3), (3, 2)), ((5, 3), (3, 2), (2, 2)), ((5, 3), (8, 1))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match=r"pixels on . levels, but there are 23 values and sampling locations on 3"):
        attend(inputs(), shapes)


def test_an_unknown_or_unavailable_implementation_is_refused():
    with pytest.raises(ValueError, match="implementations cuda, gather, grid_sample, but got 'gater': choose one"):
        attend(inputs(), SHAPES, "gater")
    with pytest.raises(ValueError, match=r"'cuda' .* runs on cuda, but the values are on cpu: move the model"):
        attend(inputs(), SHAPES, "cuda")


def has_second_derivatives():
    """Whether torch's grid_sample has them, as in torch 2.13."""
    image = torch.rand(1, 1, 2, 2, requires_grad=True)
    sampled = torch.nn.functional.grid_sample(image, torch.zeros(1, 1, 1, 2, requires_grad=True), align_corners=False)
    try:
        torch.autograd.grad(sampled.sum(), image, create_graph=True)[0].sum().backward()
    except RuntimeError:
        return False
    return True


@CPU
@pytest.mark.parametrize("power", [1, 3])
def test_second_derivatives_raise_and_are_never_silently_missing(implementation, power):
    """Also those of a loss that is linear in the output, whose gradient does not depend on the output."""
    value, locations, weights = (tensor.requires_grad_() for tensor in inputs())

    def second_derivatives():
        energy = attend((value, locations, weights), SHAPES, implementation).pow(power).sum()
        (gradient,) = torch.autograd.grad(energy, value, create_graph=True)
        return torch.autograd.grad(gradient.sum(), (value, locations, weights))

    if implementation == "grid_sample" and has_second_derivatives():

        def output(*tensors):
            return attend(tensors, SHAPES, implementation).pow(power)

        assert torch.autograd.gradgradcheck(output, (value, locations, weights), fast_mode=True)
        return
    with pytest.raises(RuntimeError, match=r"implementation 'grid_sample' for torch.func|is not implemented"):
        second_derivatives()


def test_torch_func_needs_grid_sample_and_gather_says_so():
    value, locations, weights = inputs()

    def energy(value, implementation):
        return attend((value, locations, weights), SHAPES, implementation).pow(3).sum()

    with pytest.raises(RuntimeError, match=r"needs the implementation 'grid_sample' for torch.func, but got 'gather'"):
        torch.func.grad(lambda value: energy(value, "gather"))(value)
    transformed = torch.func.grad(lambda value: energy(value, "grid_sample"))(value)
    (expected,) = torch.autograd.grad(energy(value.requires_grad_(), "gather"), value)
    torch.testing.assert_close(transformed, expected, atol=1e-10, rtol=0)


def test_a_trace_with_grid_sample_takes_any_batch_size():
    batch = inputs(batch=2, dtype=torch.float32)
    traced = torch.jit.trace(lambda *tensors: attend(tensors, SHAPES, "grid_sample"), batch, check_trace=False)
    assert "grid_sampler" in str(traced.graph)
    larger = inputs(batch=5, dtype=torch.float32)
    torch.testing.assert_close(traced(*larger), attend(larger), atol=1e-5, rtol=0)


@CPU
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
def test_half_precision_is_computed_in_float32(implementation, dtype, tolerance):
    """Only the values and the output are rounded."""
    value, locations, weights = inputs(dtype=torch.float32)
    output = attend((value.to(dtype), locations, weights), SHAPES, implementation)
    assert output.dtype is dtype
    exact = attend((value.to(dtype).float(), locations, weights), SHAPES, implementation)
    torch.testing.assert_close(output.float(), exact, atol=tolerance, rtol=tolerance)


def test_level_sizes_are_the_caller_s():
    sizes = level_sizes(SHAPES, torch.device("cpu"))
    assert sizes.tolist() == [[3, 5], [2, 3], [1, 2]]
    sizes.mul_(0)
    assert level_sizes(SHAPES, torch.device("cpu")).tolist() == [[3, 5], [2, 3], [1, 2]]


def test_both_cpu_implementations_agree_at_the_paper_s_size():
    shapes = ((32, 24), (16, 12), (8, 6))
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(1, 1008, 8, 32, generator=generator)
    locations = torch.rand(1, 1008, 8, 3, 4, 2, generator=generator) * 1.2 - 0.1
    weights = torch.rand(1, 1008, 8, 3, 4, generator=generator) / 12
    outputs = [attend((value, locations, weights), shapes, name) for name in ("gather", "grid_sample")]
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=0)


@pytest.mark.gpu
@needs_kernel
@pytest.mark.parametrize("batch", [1, 3, 65, 100, 129])
def test_cuda_equals_cpu_for_any_batch(batch):
    expected = attend(inputs(batch, heads=8, dims=32, dtype=torch.float32))
    output = attend(inputs(batch, heads=8, dims=32, dtype=torch.float32, device="cuda"))
    torch.testing.assert_close(output.cpu(), expected, atol=1e-5, rtol=0)


@pytest.mark.gpu
@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3, 65, 129])
def test_cuda_has_the_gradients_of_the_cpu(batch, dtype):
    """Locations keep a distance from pixel centres, where the gradient of the interpolation is discontinuous."""
    value, locations, weights = inputs(batch, heads=8, dims=32, dtype=torch.float32)
    sizes = torch.tensor(SHAPES).flip(1)[:, None]
    pixels = locations * sizes - 0.5
    locations = (pixels.floor() + (pixels - pixels.floor()).clamp(0.01, 0.99) + 0.5) / sizes
    value = value.to(dtype)
    expected = _gradients(value.float(), locations, weights)
    gradients = _gradients(value.cuda(), locations.cuda(), weights.cuda())
    tolerance = 1e-4 if dtype is torch.float32 else 2e-2  # the gradient of the values is rounded
    for gradient, reference in zip(gradients, expected):
        scale = reference.abs().max()
        torch.testing.assert_close(gradient.cpu().float() / scale, reference / scale, atol=tolerance, rtol=0)


def _gradients(*tensors):
    tensors = [tensor.requires_grad_() for tensor in tensors]
    output = attend(tensors)
    direction = torch.linspace(-1, 1, output.numel()).view(output.shape).to(output)
    return torch.autograd.grad(output, tensors, direction)


@pytest.mark.gpu
@needs_kernel
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 1e-2)])
def test_cuda_half_precision(dtype, tolerance):
    value, locations, weights = inputs(heads=8, dims=32, dtype=torch.float32, device="cuda")
    output = attend((value.to(dtype), locations, weights))
    assert output.dtype is dtype
    expected = attend((value.to(dtype).float(), locations, weights))
    torch.testing.assert_close(output.float(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.gpu
@needs_kernel
def test_cuda_trains_after_inference_mode():
    value, locations, weights = inputs(heads=8, dims=32, dtype=torch.float32, device="cuda")
    with torch.inference_mode():
        attend((value, locations, weights))
    attend((value.requires_grad_(), locations, weights)).sum().backward()
    assert value.grad.abs().sum() > 0

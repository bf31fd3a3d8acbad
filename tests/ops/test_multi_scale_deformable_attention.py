from __future__ import annotations

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

from tfpose_mm.ops import has_cuda_kernel, multi_scale_deformable_attention

needs_kernel = pytest.mark.skipif(
    not (torch.cuda.is_available() and has_cuda_kernel()), reason="needs a CUDA device and mmcv built with CUDA"
)
SHAPES = ((5, 3), (3, 2), (2, 1))


def inputs(batch=3, heads=2, dims=3, dtype=torch.float64, device="cpu", shapes=SHAPES):
    """Values, locations, of which some are outside, and weights."""
    generator, tokens = torch.Generator().manual_seed(0), sum(h * w for h, w in shapes)
    value = torch.randn(batch, tokens, heads, dims, generator=generator, dtype=dtype)
    locations = torch.rand(batch, 4, heads, len(shapes), 4, 2, generator=generator, dtype=dtype) * 1.4 - 0.2
    weights = torch.rand(batch, 4, heads, len(shapes) * 4, generator=generator, dtype=dtype).softmax(-1)
    return tuple(tensor.to(device) for tensor in (value, locations, weights.view(batch, 4, heads, len(shapes), 4)))


def attend(tensors, shapes=SHAPES, implementation=None):
    value, locations, weights = tensors
    return multi_scale_deformable_attention(value, shapes, locations, weights, implementation)


@pytest.mark.parametrize("at_pixel_centres", [False, True])
def test_equals_mmcv_forward_and_backward(at_pixel_centres):
    """Untrained heads sample exactly at pixel centres, where the interpolation has kinks."""
    shapes = ((4, 2), (2, 4), (4, 1)) if at_pixel_centres else SHAPES  # powers of 2, so that the centres are exact
    value, locations, weights = inputs(shapes=shapes)
    if at_pixel_centres:
        sizes = torch.tensor(shapes).flip(1)[:, None]
        locations = ((locations * sizes).round() + 0.5) / sizes
    tensors = tuple(tensor.requires_grad_() for tensor in (value, locations, weights))
    output = attend(tensors, shapes)
    expected = multi_scale_deformable_attn_pytorch(value, torch.tensor(shapes), locations, weights)
    torch.testing.assert_close(output, expected, atol=1e-12, rtol=0)
    direction = torch.randn_like(expected)
    gradients = (torch.autograd.grad(one, tensors, direction) for one in (output, expected))
    for gradient, reference in zip(*gradients):
        torch.testing.assert_close(gradient, reference, atol=1e-10, rtol=0)


def test_a_location_far_outside_samples_zero_and_nan_gives_nan():
    value, locations, weights = inputs(dtype=torch.float32)
    locations[0, 0] = 1e30
    locations[0, 1] = -1e30
    locations[1, 2] = float("nan")
    output = attend((value, locations, weights))
    assert torch.equal(output[0, :2], torch.zeros_like(output[0, :2]))
    assert output[1, 2].isnan().all()
    assert output.isnan().sum() == output[1, 2].numel()


def test_shapes_and_implementations_that_do_not_fit_are_refused():
    for shapes in (((5, 3), (3, 2), (2, 2)), ((5, 3), (8, 1))):
        with pytest.raises(ValueError, match=r"pixels on . levels, but there are 23 values and sampling locations on"):
            attend(inputs(), shapes)
    with pytest.raises(ValueError, match="implementations cuda, grid_sample, but got 'grid': choose one"):
        attend(inputs(), SHAPES, "grid")
    with pytest.raises(ValueError, match=r"'cuda' .* runs on cuda, but the values are on cpu: move the model"):
        attend(inputs(), SHAPES, "cuda")


def test_second_derivatives_are_right_or_raise():
    """Torch 2.13 has them; before, they are never silently missing."""
    tensors = tuple(tensor.requires_grad_() for tensor in inputs())
    try:
        assert torch.autograd.gradgradcheck(lambda *tensors: attend(tensors), tensors, fast_mode=True)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise


def test_torch_func_has_the_gradients_of_autograd():
    value, locations, weights = inputs()

    def energy(value):
        return attend((value, locations, weights)).pow(3).sum()

    transformed = torch.func.grad(energy)(value)
    (expected,) = torch.autograd.grad(energy(value.requires_grad_()), value)
    torch.testing.assert_close(transformed, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    """Only the values and the output are rounded."""
    value, locations, weights = inputs(dtype=torch.float32)
    output = attend((value.to(dtype), locations, weights))
    assert torch.equal(output, attend((value.to(dtype).float(), locations, weights)).to(dtype))


@pytest.mark.gpu
@needs_kernel
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("batch", [1, 3, 65, 100, 129])
def test_cuda_has_the_output_and_the_gradients_of_the_cpu(batch, dtype, tolerance):
    """Locations keep a distance from pixel centres, where the gradient of the interpolation is discontinuous."""
    value, locations, weights = inputs(batch, heads=8, dims=32, dtype=torch.float32)
    sizes = torch.tensor(SHAPES).flip(1)[:, None]
    pixels = locations * sizes - 0.5
    locations = (pixels.floor() + (pixels - pixels.floor()).clamp(0.01, 0.99) + 0.5) / sizes
    value = value.to(dtype)
    with torch.inference_mode():  # must not make the next call untrainable
        output = attend((value.cuda(), locations.cuda(), weights.cuda())).cpu().float()
    expected = attend((value.float(), locations, weights))
    torch.testing.assert_close(output, expected, atol=1e-5 if dtype is torch.float32 else 2e-2, rtol=tolerance)
    expected = _gradients(value.float(), locations, weights)
    gradients = _gradients(value.cuda(), locations.cuda(), weights.cuda())
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

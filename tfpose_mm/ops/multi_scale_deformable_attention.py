"""Multi-scale deformable attention for any device, batch size and precision.

Source: Deformable DETR, eq. (3). The argument names are those of ``mmcv.ops.multi_scale_deform_attn``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence

import torch
from mmcv.ops import get_compiling_cuda_version
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

from ..errors import UserError
from .grid_sample import grid_sample_attention

SpatialShapes = Sequence[Sequence[int]]


def multi_scale_deformable_attention(
    value: Tensor,
    value_spatial_shapes: SpatialShapes,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    implementation: str | None = None,
) -> Tensor:
    """Sample the values bilinearly at the locations and sum the samples by weight.

    Implementations:
        - ``"cuda"``: mmcv's CUDA kernel; float32, float64 and float16. bfloat16 is computed in float32.
        - ``"grid_sample"``: ``torch.nn.functional.grid_sample``, on any device; it can be traced and compiled, and
          ``torch.func.grad`` takes it.

    Both have first derivatives. Second derivatives raise a RuntimeError, except with ``"grid_sample"`` in torch 2.13.

    Outside of CUDA half precision is computed in float32.

    Args:
        value: (B, N, heads, C / heads), the tokens of all levels, one level after the other, rows first.
        value_spatial_shapes: (h, w) of each of the L levels as Python integers; their products sum to N.
        sampling_locations: (B, Q, heads, L, P, 2), (x, y); (0, 0) and (1, 1) are the outer corners of a level's
            first and last pixel. Samples outside are zero.
        attention_weights: (B, Q, heads, L, P).
        implementation: One of the above. Defaults to ``None``: ``default_implementation(value.device)``.

    Returns:
        (B, Q, C), in the precision of ``value``.

    Raises:
        UserError: If the shapes do not fit together, or the implementation is unknown or not available on the device.
    """
    _check_shapes(value, value_spatial_shapes, sampling_locations)
    implementation = implementation or default_implementation(value.device)
    check_implementation(implementation, value.device)
    function = IMPLEMENTATIONS[implementation]
    is_half = value.dtype in (torch.float16, torch.bfloat16)
    if is_half and (implementation != "cuda" or value.dtype is torch.bfloat16):
        output = function(value.float(), value_spatial_shapes, sampling_locations, attention_weights)
        return output.to(value.dtype)
    return function(value, value_spatial_shapes, sampling_locations, attention_weights)


def default_implementation(device: torch.device) -> str:
    """The implementation that runs on a device unless another one is chosen.

    Args:
        device: Where the values are.

    Returns:
        ``"cuda"`` on a GPU if mmcv was compiled with CUDA, else ``"grid_sample"``.
    """
    return "cuda" if device.type == "cuda" and has_cuda_kernel() else "grid_sample"


def check_implementation(implementation: str, device: torch.device | None = None) -> None:
    """Refuse the name of an implementation that does not exist or cannot run.

    Args:
        implementation: The name.
        device: Where it shall run; ``None`` checks the name only.

    Raises:
        UserError: If there is no such implementation, or it does not run on the device.
    """
    if implementation not in IMPLEMENTATIONS:
        raise UserError(
            f"Deformable attention has the implementations {', '.join(IMPLEMENTATIONS)}, but got {implementation!r}: "
            "choose one of them, or None for the default of the device."
        )
    if device is not None and implementation == "cuda" and device.type != "cuda":
        raise UserError(
            f"The implementation 'cuda' of deformable attention runs on cuda, but the values are on {device.type}: "
            "move the model, or choose 'grid_sample', which runs on every device."
        )


@functools.lru_cache(maxsize=1)
def has_cuda_kernel() -> bool:
    """Whether mmcv was compiled with CUDA. If not, this warns once."""
    if get_compiling_cuda_version() != "not available":
        return True
    warnings.warn(
        "mmcv was compiled without CUDA, so deformable attention runs on grid_sample, which is slower: compile it "
        "with 'make env CUDA=1', or see docs/install.md.",
        stacklevel=2,
    )
    return False


def level_sizes(spatial_shapes: SpatialShapes, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Width and height of each level as a tensor.

    The numbers are filled in on the device. Copying them from the CPU would make the CPU wait for the GPU.

    Args:
        spatial_shapes: (h, w) of each of the L levels.
        device: Where the result lives.
        dtype: Its precision.

    Returns:
        (L, 2), (w, h).
    """
    sides = [torch.full((), side, dtype=dtype, device=device) for h, w in spatial_shapes for side in (w, h)]
    return torch.stack(sides).view(-1, 2)


def _cuda_attention(
    value: Tensor, value_spatial_shapes: SpatialShapes, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Run mmcv's CUDA kernel, see :func:`multi_scale_deformable_attention`."""
    shapes, starts = _kernel_geometry(tuple((int(h), int(w)) for h, w in value_spatial_shapes), value.device)
    # mmcv requires that im2col_step divides the batch size; a step of the whole batch always does.
    im2col_step = value.shape[0]
    return MultiScaleDeformableAttnFunction.apply(
        value.contiguous(),
        shapes,
        starts,
        sampling_locations.contiguous(),
        attention_weights.contiguous(),
        im2col_step,
    )


@functools.lru_cache(maxsize=64)
def _kernel_geometry(spatial_shapes: tuple[tuple[int, int], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """(h, w) and first token of each level, (L, 2) and (L,) int64 on the device. The kernel only reads them."""
    with torch.inference_mode(False):
        shapes = torch.tensor(spatial_shapes, dtype=torch.long, device=device)
        starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    return shapes, starts


def _check_shapes(value: Tensor, spatial_shapes: SpatialShapes, sampling_locations: Tensor) -> None:
    pixels = sum(h * w for h, w in spatial_shapes)
    if pixels != value.shape[1] or len(spatial_shapes) != sampling_locations.shape[3]:
        raise UserError(
            f"value_spatial_shapes {tuple(map(tuple, spatial_shapes))} have {pixels} pixels on {len(spatial_shapes)} "
            f"levels, but there are {value.shape[1]} values and sampling locations on {sampling_locations.shape[3]} "
            "levels: give (h, w) of each level."
        )


IMPLEMENTATIONS = {"cuda": _cuda_attention, "grid_sample": grid_sample_attention}

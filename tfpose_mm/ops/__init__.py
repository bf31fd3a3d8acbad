"""Multi-scale deformable attention: one function, two implementations."""

from __future__ import annotations

from .multi_scale_deformable_attention import (
    IMPLEMENTATIONS,
    SpatialShapes,
    check_implementation,
    default_implementation,
    has_cuda_kernel,
    level_sizes,
    multi_scale_deformable_attention,
)

__all__ = [
    "IMPLEMENTATIONS",
    "SpatialShapes",
    "check_implementation",
    "default_implementation",
    "has_cuda_kernel",
    "level_sizes",
    "multi_scale_deformable_attention",
]

"""Checks of packed data samples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from mmpose.structures import PoseDataSample


def find_not_finite(sample: PoseDataSample | None, parts: Iterable[str]) -> str | None:
    """Find an array of a sample that has NaN or infinite values.

    Args:
        sample: The sample, or ``None``, which has no arrays.
        parts: The fields to look into, as ``"gt_instances"``.

    Returns:
        The first such array, as ``"gt_instance_labels.keypoint_labels"``; ``None`` if all are finite.
    """
    for part in parts:
        for name, value in getattr(sample, part, {}).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                value = torch.from_numpy(value)
            if isinstance(value, torch.Tensor) and not torch.isfinite(value).all():
                return f"{part}.{name}"
    return None

"""Checks of packed data samples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from mmpose.structures import PoseDataSample


def find_not_finite(sample: PoseDataSample | None, parts: Iterable[str]) -> str | None:
    """Find an array of some parts of a sample, as ``"gt_instances"``, that has NaN or infinite values.

    Returns:
        The first such array, as ``"gt_instance_labels.keypoint_labels"``; ``None`` if all are finite.
    """
    for part in parts:
        for name, value in getattr(sample, part, {}).items():
            if isinstance(value, (np.ndarray, torch.Tensor)) and not torch.as_tensor(value).isfinite().all():
                return f"{part}.{name}"
    return None

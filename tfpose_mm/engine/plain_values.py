"""Values that any torch loads safely from a checkpoint, and what MMEngine and MMPose expect instead of them."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log

PLAIN = (bool, int, float, str, type(None))
HISTORY = ("_log_history", "_count_history", "max_length")
ARRAYS = dict(  # of MMPose's metainfo
    keypoint_colors=np.uint8, skeleton_link_colors=np.uint8, dataset_keypoint_weights=np.float32, sigmas=np.float32
)


def to_plain(value: object) -> Any:  # noqa: ANN401 - as json.loads
    """Convert a value to types that ``torch.load(weights_only=True)`` accepts.

    Args:
        value: Numbers, text, tensors, arrays, MMEngine's ``HistoryBuffer``, and containers of them.

    Returns:
        A copy: arrays become lists, NumPy scalars Python numbers. Anything else becomes ``None``, with a warning.
    """
    if type(value) in PLAIN or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return (tuple if isinstance(value, tuple) else list)(map(to_plain, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return to_plain(value.tolist())
    if isinstance(value, HistoryBuffer):
        return {name: to_plain(getattr(value, name)) for name in HISTORY}
    print_log(
        f"A {type(value).__name__} is not saved in checkpoints, which hold plain data only.", "current", logging.WARNING
    )
    return None


def from_plain(content: dict[str, Any]) -> dict[str, Any]:
    """Give MMEngine its histories of logged values and MMPose its arrays of a data set's metainfo back.

    Args:
        content: The content of a checkpoint; it is changed.

    Returns:
        The content.
    """
    metainfo = (content.get("meta") or {}).get("dataset_meta") or {}
    for name, dtype in ARRAYS.items():
        if isinstance(metainfo.get(name), list):
            metainfo[name] = np.array(metainfo[name], dtype)
    scalars = (content.get("message_hub") or {}).get("log_scalars") or {}
    for name, value in scalars.items():
        if isinstance(value, dict) and set(HISTORY) <= set(value):
            scalars[name] = HistoryBuffer(*(value[part] for part in HISTORY))
    return content

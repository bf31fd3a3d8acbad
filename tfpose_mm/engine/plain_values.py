"""Values that any torch loads safely from a checkpoint."""

from __future__ import annotations

import logging
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log

PLAIN: tuple[type, ...] = (bool, int, float, complex, str, bytes, type(None), torch.Tensor)


def to_plain(value: object) -> Any:  # noqa: ANN401 - as json.loads
    """Convert a value to types that ``torch.load(weights_only=True)`` accepts.

    Args:
        value: Numbers, text, tensors, arrays, MMEngine's ``HistoryBuffer``, and containers of them.

    Returns:
        A copy: arrays become lists, NumPy scalars Python numbers, paths text. Anything else becomes ``None``, with a
        warning.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value if type(value) in PLAIN else _base(value)
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return (tuple if isinstance(value, tuple) else list)(to_plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, HistoryBuffer):
        return {name: to_plain(getattr(value, name)) for name in ("_log_history", "_count_history", "max_length")}
    if isinstance(value, PurePath):
        return str(value)
    print_log(
        f"A {type(value).__name__} is not saved in checkpoints, which hold plain data only.", "current", logging.WARNING
    )
    return None


def _base(value: object) -> object:
    """An instance of a subclass, as an enum's member or ``nn.Parameter``, as the plain type itself."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    return next(kind(value) for kind in PLAIN if isinstance(value, kind))

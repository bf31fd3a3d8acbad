"""Values in checkpoints beside tensors: which are saved, and how arrays and MMEngine's logged values are read.

torch calls the stand-ins of this file, not what a pickle names: NumPy's functions for pickles do not check sizes and
flags, so a file could read any memory, and MMEngine's ``HistoryBuffer`` installs functions that the pickle names.
"""

from __future__ import annotations

import logging
import re
from pickle import UnpicklingError
from typing import Any, Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log

CODES = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}|O8")  # no structures, no sub-arrays, no dates
HISTORY = ("_log_history", "_count_history", "max_length")
ARRAYS = dict(  # of MMPose's metainfo
    keypoint_colors=np.uint8, skeleton_link_colors=np.uint8, dataset_keypoint_weights=np.float32, sigmas=np.float32
)


class _Dtype:
    """Stands for ``numpy.dtype``."""

    def __init__(self, code: str, *flags: object) -> None:
        if not CODES.fullmatch(code):
            raise UnpicklingError(f"it contains a NumPy dtype {code}")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        """Take the byte order; everything else follows from the code."""
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray`` and for the function that makes an empty one."""

    def __init__(self, *arguments: object) -> None:
        self.value = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        """Take version, shape, dtype, Fortran order and data: bytes, or a list of objects. NumPy checks the size."""
        _, shape, dtype, is_fortran, data = state
        flat = np.array([*data, None], object)[:-1] if isinstance(data, list) else np.frombuffer(data, dtype.value)
        self.value = flat.reshape(shape, order="F" if is_fortran else "C").copy()


class _History:
    """Stands for MMEngine's ``HistoryBuffer``."""

    def __setstate__(self, state: dict) -> None:
        """Take the logged values, not the functions."""
        self.value = HistoryBuffer(state[HISTORY[0]].value, state[HISTORY[1]].value, state[HISTORY[2]])


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    """Stands for ``numpy.core.multiarray.scalar``."""
    return np.frombuffer(data, dtype.value)[0]


def _empty(*arguments: object) -> bytes:
    """Stands for ``bytes``, which makes empty bytes, and ``getattr``, with which a ``HistoryBuffer`` names methods."""
    return b""


# what torch calls, and the name in the pickle, as torch.serialization.safe_globals takes them
PICKLED_TYPES: list[Callable | tuple[Callable, str]] = [
    (_History, "mmengine.logging.history_buffer.HistoryBuffer"),
    (_empty, "builtins.getattr"),
    (_empty, "builtins.bytes"),
    (_Array, "numpy.ndarray"),
    (_Dtype, "numpy.dtype"),
    (_Array, "numpy.core.multiarray._reconstruct"),  # numpy 1
    (_Array, "numpy._core.multiarray._reconstruct"),  # numpy 2
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
]


def restore_values(value: object) -> object:
    """Replace the stand-ins by their arrays and histories, in place in dicts and lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            value[key] = restore_values(item)
    elif isinstance(value, list):
        value[:] = map(restore_values, value)
    elif type(value) is tuple:
        return tuple(map(restore_values, value))
    return value.value if isinstance(value, (_Dtype, _Array, _History)) else value


def to_plain(value: object) -> Any:  # noqa: ANN401 - as json.loads
    """Copy a value with types that ``torch.load(weights_only=True)`` accepts.

    Arrays become lists, NumPy scalars Python numbers, MMEngine's ``HistoryBuffer`` a dict. Types that do not consist of
    numbers, text and tensors become ``None``, with a warning.
    """
    if type(value) in (bool, int, float, str, type(None)) or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, dict):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return (tuple if isinstance(value, tuple) else list)(map(to_plain, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return to_plain(value.tolist())
    if isinstance(value, HistoryBuffer):
        return {name: to_plain(getattr(value, name)) for name in HISTORY}
    kind = type(value).__name__
    print_log(f"A {kind} is not saved in checkpoints, which hold plain data only.", "current", logging.WARNING)
    return None


def from_plain(content: dict[str, Any]) -> dict[str, Any]:
    """Give MMEngine its histories and MMPose its arrays back, in place in the content of a checkpoint."""
    metainfo = (content.get("meta") or {}).get("dataset_meta") or {}
    for name, dtype in ARRAYS.items():
        if isinstance(metainfo.get(name), list):
            metainfo[name] = np.array(metainfo[name], dtype)
    scalars = (content.get("message_hub") or {}).get("log_scalars") or {}
    for name, value in scalars.items():
        if isinstance(value, dict) and set(HISTORY) <= set(value):
            scalars[name] = HistoryBuffer(*(value[part] for part in HISTORY))
    return content

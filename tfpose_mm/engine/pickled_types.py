"""NumPy arrays and MMEngine's logged values in checkpoints, read without calling what the pickle names.

torch calls the functions and classes of this file instead. NumPy's own functions for pickles do not check sizes and
flags, so a file could read any memory, and MMEngine's ``HistoryBuffer`` installs functions that the pickle names.
"""

from __future__ import annotations

import re
from pickle import UnpicklingError
from typing import Callable

import numpy as np
from mmengine.logging import HistoryBuffer

CODES = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}|O8")  # no structures, no sub-arrays, no dates


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
        if isinstance(data, list):
            flat = np.empty(len(data), object)
            flat[:] = data
        else:
            flat = np.frombuffer(data, dtype.value)
        self.value = flat.reshape(shape, order="F" if is_fortran else "C").copy()


class _History:
    """Stands for MMEngine's ``HistoryBuffer``."""

    def __setstate__(self, state: dict) -> None:
        """Take the logged values, not the functions."""
        arrays = (state[name].value for name in ("_log_history", "_count_history"))
        self.value = HistoryBuffer(*arrays, max_length=state["max_length"])


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    """Stands for ``numpy.core.multiarray.scalar``."""
    return np.frombuffer(data, dtype.value)[0]


def _method(owner: type, name: str) -> None:
    """Stands for ``getattr``, with which a ``HistoryBuffer`` names its methods."""
    if owner is not _History or name not in ("min", "max", "current", "mean"):
        raise UnpicklingError("Unsupported global: GLOBAL builtins.getattr")


def _no_bytes(*arguments: object) -> bytes:
    """Stands for ``bytes``, with which Python pickles empty bytes."""
    if arguments:
        raise UnpicklingError("Unsupported global: GLOBAL builtins.bytes")
    return b""


# what torch calls, and the name in the pickle, as torch.serialization.safe_globals takes them
PICKLED_TYPES: list[Callable | tuple[Callable, str]] = [
    (_History, "mmengine.logging.history_buffer.HistoryBuffer"),
    (_method, "builtins.getattr"),
    (_no_bytes, "builtins.bytes"),
    (_Array, "numpy.ndarray"),
    (_Dtype, "numpy.dtype"),
    (_Array, "numpy.core.multiarray._reconstruct"),  # numpy 1
    (_Array, "numpy._core.multiarray._reconstruct"),  # numpy 2
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
]


def restore_values(value: object) -> object:
    """Replace what stands for arrays and histories by these, in dicts, lists and tuples.

    Args:
        value: The content of a checkpoint; dicts and lists are changed.

    Returns:
        The value, or a new one if it is a tuple, an array or a history.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            value[key] = restore_values(item)
    elif isinstance(value, list):
        value[:] = map(restore_values, value)
    elif type(value) is tuple:
        return tuple(map(restore_values, value))
    return value.value if isinstance(value, (_Dtype, _Array, _History)) else value

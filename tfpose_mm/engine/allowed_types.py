"""Types that a checkpoint may contain besides tensors: those that MMEngine's training checkpoints need.

A pickle names functions and classes by their full path, calls them, and sets their state. The names below are read as
functions and classes of this file, which only keep data: NumPy's own functions do not check sizes and flags, so
a file could read or write any memory. Loading fails on any other name.
"""

from __future__ import annotations

import re
from pickle import UnpicklingError
from typing import Callable

import numpy as np

HISTORY_METHODS = ("min", "max", "current", "mean")
# bool, int, unsigned int, float, complex, text, objects: no structures, no sub-arrays, no dates
CODES = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}|O8?")


class _Fixed(type):
    """A pickle cannot set attributes of a class that has this type."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise UnpicklingError(f"it sets {name} of a class")


class LogHistory(metaclass=_Fixed):
    """Stands for MMEngine's ``HistoryBuffer``: its attributes become plain data."""


class Dtype(metaclass=_Fixed):
    """Stands for ``numpy.dtype``.

    Args:
        code: Kind and size in bytes, as ``"f8"``.
        *flags: Not used.
    """

    def __init__(self, code: str, *flags: object) -> None:
        if not isinstance(code, str) or not CODES.fullmatch(code):
            raise UnpicklingError(f"it contains a NumPy dtype {ascii(code)[:80]}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        """Take the byte order; everything else follows from the code."""
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class Array(metaclass=_Fixed):
    """Stands for ``numpy.ndarray``; :meth:`read` makes the array."""

    def __init__(self) -> None:
        self.state: tuple = (1, (0,), Dtype("f8"), False, b"")

    def __setstate__(self, state: tuple) -> None:
        """Keep version, shape, dtype, Fortran order and data."""
        self.state = state

    def read(self) -> np.ndarray:
        """The array.

        Raises:
            UnpicklingError: If the data do not have the size of the shape.
        """
        _, shape, dtype, fortran, data = self.state
        if not isinstance(dtype, Dtype) or not isinstance(data, (bytes, list)):
            raise UnpicklingError("it contains a NumPy array without dtype or data")
        if isinstance(data, list) != (dtype.dtype.kind == "O"):
            raise UnpicklingError("it contains a NumPy array whose data do not fit its dtype")
        if isinstance(data, list):
            flat = np.empty(len(data), dtype=object)
            flat[:] = data
        else:
            flat = np.frombuffer(data, dtype.dtype)  # checks the size
        return flat.reshape(shape, order="F" if fortran else "C").copy()


def _reconstruct(*arguments: object) -> Array:
    """Stands for ``numpy.core.multiarray._reconstruct``, which makes an empty array."""
    return Array()


def _scalar(dtype: Dtype, data: bytes) -> np.generic:
    """Stands for ``numpy.core.multiarray.scalar``."""
    if not isinstance(dtype, Dtype) or dtype.dtype.kind == "O" or len(data) != dtype.dtype.itemsize:
        raise UnpicklingError("it contains a NumPy number whose size does not fit its dtype")
    return np.frombuffer(data, dtype.dtype)[0]


def _ndarray(*arguments: object) -> None:
    """Stands for ``numpy.ndarray``, which ``_reconstruct`` gets, and which is never called."""
    raise UnpicklingError("it calls numpy.ndarray")


def _history_method(owner: type, name: str) -> str:
    """Stands for ``getattr``, which a ``HistoryBuffer`` needs for its methods; returns the name of the method."""
    if owner is not LogHistory or name not in HISTORY_METHODS:
        raise UnpicklingError(f"Unsupported global: GLOBAL builtins.getattr of {ascii(name)[:80]}")
    return name


def _no_bytes(*arguments: object) -> bytes:
    """Stands for ``bytes``, with which Python 3 pickles the empty bytes."""
    if arguments:
        raise UnpicklingError("it calls builtins.bytes")
    return b""


# full path in the pickle: what it is read as
ALLOWED: dict[str, Callable] = {
    "mmengine.logging.history_buffer.HistoryBuffer": LogHistory,
    "builtins.getattr": _history_method,
    "builtins.bytes": _no_bytes,
    "numpy.ndarray": _ndarray,
    "numpy.dtype": Dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,  # numpy 1
    "numpy._core.multiarray._reconstruct": _reconstruct,  # numpy 2
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    f"{Array.__module__}.Array": Array,  # torch sets the state of listed classes only
}


def map_values(value: object, function: Callable[[object], object]) -> object:
    """Apply a function to all values in dicts, lists and tuples.

    Args:
        value: A value or a container; dicts and lists are changed.
        function: It is applied to what is not a container.

    Returns:
        The changed container, or a new one if it is a tuple; the result of the function for a value.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            value[key] = map_values(item, function)
    elif isinstance(value, list):
        value[:] = [map_values(item, function) for item in value]
    elif type(value) is tuple:
        return tuple(map_values(item, function) for item in value)
    else:
        return function(value)
    return value


def restore_arrays(value: object) -> object:
    """Replace the arrays that :class:`Array` stands for, in dicts, lists and tuples.

    Args:
        value: The content of a checkpoint; dicts and lists are changed.

    Returns:
        The value, or a new one if it is a tuple or an array.
    """
    return map_values(value, _restore)


def _restore(value: object) -> object:
    if isinstance(value, Array):
        array = value.read()
        if array.dtype == object:
            array.reshape(-1)[:] = [restore_arrays(item) for item in array.reshape(-1)]
        return array
    if isinstance(value, LogHistory):
        restore_arrays(vars(value))
    return value.dtype if isinstance(value, Dtype) else value

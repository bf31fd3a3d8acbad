"""The types that a checkpoint may contain, besides tensors: what MMEngine's training checkpoints need, and no more.

A pickle names functions and classes by their full path, and a malicious one names a function that runs its code. Only
the names below and those of torch are looked up; any other name stops the loading.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from types import ModuleType
from typing import BinaryIO, Callable

import numpy as np
import torch

HISTORY_METHODS = ("min", "max", "current", "mean")


class LogHistory:
    """Stands for MMEngine's ``HistoryBuffer`` while a checkpoint is read: its attributes become plain data.

    The methods of ``HistoryBuffer`` are in the pickle, too; ``HistoryBuffer.__setstate__`` would install what it finds.
    """


def _history_method(owner: type, name: str) -> str:
    """Stands for ``getattr``, which a ``HistoryBuffer`` needs for its methods; returns the name of the method."""
    if owner is not LogHistory or name not in HISTORY_METHODS:
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL builtins.getattr of {name}")
    return name


def _encode(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``, with which Python pickles bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL _codecs.encode to {encoding}")
    return text.encode(encoding)


def _allowed() -> dict[str, object]:
    reconstruct, scalar = (value.__reduce__()[0] for value in (np.zeros(1), np.float64(0)))
    types = {
        "mmengine.logging.history_buffer.HistoryBuffer": LogHistory,
        "builtins.getattr": _history_method,
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # numpy 1 and numpy 2
        types.update({f"{module}._reconstruct": reconstruct, f"{module}.scalar": scalar})
    for dtype in (type(np.dtype(code)) for code in "?bhilqBHILQefdUSO"):
        types[f"{dtype.__module__}.{dtype.__qualname__}"] = dtype
    return types


ALLOWED = _allowed()  # full path in the pickle: what it is read as
BASIC = {  # what torch since 2.6 allows by itself
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.complex": complex,
    "builtins.bytearray": bytearray,
    "torch.Size": torch.Size,
    "_codecs.encode": _encode,
}
REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")


class RestrictedUnpickler(pickle.Unpickler):
    """Python's unpickler that looks up allowed names only, for torch before 2.6.

    There, ``torch.load(weights_only=True)`` neither takes further types nor is it safe (CVE-2025-32434).
    """

    def find_class(self, module: str, name: str) -> object:
        """Look up a class or a function.

        Args:
            module: Its module.
            name: Its name.

        Returns:
            The class, or a new function that calls it: a pickle may set attributes of what it gets.

        Raises:
            pickle.UnpicklingError: If it is not allowed.
        """
        path = f"{module}.{name}".replace("__builtin__.", "builtins.")
        found = {**ALLOWED, **BASIC}.get(path)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            found = getattr(torch, name)
        elif module == "torch._utils" and name in REBUILD:
            found = super().find_class(module, name)
        if found is None:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {path}")
        return found if isinstance(found, (type, torch.dtype)) else _call(found)


def _call(function: Callable) -> Callable:
    return lambda *arguments: function(*arguments)


def _load(file: BinaryIO, **options: str) -> object:
    return RestrictedUnpickler(file, **options).load()


# for torch.load(pickle_module=...)
restricted_pickle = ModuleType("restricted_pickle")
restricted_pickle.Unpickler = RestrictedUnpickler
restricted_pickle.load = _load

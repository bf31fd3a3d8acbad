"""Read files of ``torch.save`` for torch before 2.6, whose ``torch.load`` is not safe, also with ``weights_only=True``.

With CVE-2025-32434, it runs TorchScript and reads tar files. This reader knows the two formats that hold parameters: a
zip file with a pickle and raw data, and the one of torch before 1.6, pickles and raw data in a row. Python's unpickler
reads the pickle, with the allowed names only.
"""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Callable

import torch

from ..errors import UserError
from .allowed_types import ALLOWED

MAX_NUMEL = 1 << 48  # larger than any real tensor, small enough to avoid an overflow
ZIP = b"PK\x03\x04"
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch before 1.6: its magic number, pickled
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}


def read_torch_file(path: Path) -> object:
    """Read a file of ``torch.save``.

    Args:
        path: The file.

    Returns:
        Its content, on the CPU.

    Raises:
        pickle.UnpicklingError: If the pickle contains a name that is not allowed.
        Exception: Of any kind, if the file is damaged.
    """
    with path.open("rb") as file:
        start = file.read(len(LEGACY))
        file.seek(0)
        return _read_zip(file) if start.startswith(ZIP) else _read_legacy(file)


def _read_zip(file: IO[bytes]) -> object:
    with zipfile.ZipFile(file) as archive:
        if any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist()):
            raise UserError(f"{file.name} is a TorchScript program, not a checkpoint: use the checkpoint itself.")
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1)
        folder = name[: -len("data.pkl")]
        storages: dict[str, torch.Tensor] = {}

        def load(saved: tuple) -> torch.Tensor:
            dtype, key, count = _describe(saved)
            if key not in storages:
                entry = archive.getinfo(f"{folder}data/{key}")
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < count * _size(dtype):
                    raise EOFError(f"{entry.filename} is compressed or too short")
                storages[key] = _from_bytes(archive.read(entry), dtype, count)
            return storages[key]

        with archive.open(name) as data:
            return _Unpickler(data, load).load()


def _read_legacy(file: IO[bytes]) -> object:
    for _ in ("magic number", "protocol", "system"):
        _Unpickler(file, _no_storage).load()
    storages: dict[str, torch.Tensor] = {}

    def load(saved: tuple) -> torch.Tensor:
        dtype, key, count = _describe(saved)
        if len(saved) > 5 and saved[5] is not None:
            raise pickle.UnpicklingError("it contains a view of a storage")
        if key not in storages:
            if count * _size(dtype) > length:
                raise EOFError("a storage is larger than the file")
            storages[key] = torch.empty(count, dtype=dtype)
        return storages[key]

    position = file.tell()
    length = file.seek(0, 2)
    file.seek(position)
    content = _Unpickler(file, load).load()
    for key in _Unpickler(file, _no_storage).load():
        storage = storages[str(key)]
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.numel():
            raise EOFError("a storage has another size")
        storage.copy_(_from_bytes(file.read(count * _size(storage.dtype)), storage.dtype, count))
    return content


def _describe(saved: tuple) -> tuple[torch.dtype, str, int]:
    """Dtype, key and number of elements of a storage."""
    if not isinstance(saved, tuple) or len(saved) < 5 or saved[0] != "storage" or not isinstance(saved[1], _Storage):
        raise pickle.UnpicklingError("it contains a reference to something other than a storage")
    if not isinstance(saved[4], int) or not 0 <= saved[4] <= MAX_NUMEL:
        raise pickle.UnpicklingError("it contains a storage with a wrong size")
    return saved[1].dtype, str(saved[2]), saved[4]


def _no_storage(saved: object) -> None:
    raise pickle.UnpicklingError("it contains a reference in its header")


def _from_bytes(data: bytes, dtype: torch.dtype, count: int) -> torch.Tensor:
    if count == 0:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype, count=count)


def _size(dtype: torch.dtype) -> int:
    return torch.empty(0, dtype=dtype).element_size()


class _Storage:
    """Stands for a class of storages, as ``torch.FloatStorage``."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


def _tensor(
    storage: torch.Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *flags: object
) -> torch.Tensor:
    """Stands for ``torch._utils._rebuild_tensor_v2``."""
    if not isinstance(storage, torch.Tensor) or len(size) != len(stride):
        raise pickle.UnpicklingError("it contains a tensor without storage")
    last = offset + sum((number - 1) * step for number, step in zip(size, stride))
    outside = 0 not in size and last >= storage.numel()
    if outside or min((offset, *size, *stride)) < 0 or math.prod(size) > MAX_NUMEL:
        raise pickle.UnpicklingError("it contains a tensor that is not inside its storage")
    return torch.as_strided(storage, size, stride, offset)


def _parameter(tensor: torch.Tensor, *flags: object) -> torch.Tensor:
    """Stands for ``torch._utils._rebuild_parameter``."""
    if not isinstance(tensor, torch.Tensor):
        raise pickle.UnpicklingError("it contains a parameter that is not a tensor")
    return tensor


def _encode(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``, with which Python pickles bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"Unsupported global: GLOBAL _codecs.encode to {ascii(encoding)[:80]}")
    return text.encode(encoding)


NAMES: dict[str, Any] = {
    **ALLOWED,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.complex": complex,
    "builtins.bytearray": bytearray,
    "_codecs.encode": _encode,
    "torch.Size": torch.Size,
    "torch.device": torch.device,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    **{f"torch.{name}": _Storage(dtype) for name, dtype in STORAGES.items()},
    **{str(dtype): dtype for dtype in STORAGES.values()},
}


class _Unpickler(pickle.Unpickler):
    """Python's unpickler that looks up the allowed names only.

    Args:
        file: The pickle.
        load: Returns the storage of a reference.
    """

    def __init__(self, file: IO[bytes], load: Callable) -> None:
        super().__init__(file, encoding="utf-8")
        self.load_storage = load

    def persistent_load(self, saved: object) -> torch.Tensor:
        """Return a storage."""
        return self.load_storage(saved)

    def find_class(self, module: str, name: str) -> object:
        """Look up a name.

        Args:
            module: The module of a class or function.
            name: Its name.

        Returns:
            What it is read as, new each time: a pickle may set attributes of what it gets. Classes refuse that.

        Raises:
            pickle.UnpicklingError: If it is not allowed.
        """
        path = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if path not in NAMES:
            raise pickle.UnpicklingError(f"Unsupported global: GLOBAL {path}")
        found = NAMES[path]
        if isinstance(found, _Storage):
            return _Storage(found.dtype)
        return found if isinstance(found, (type, torch.dtype)) else lambda *arguments: found(*arguments)

"""Read checkpoints without running code that they contain, for the commands of this package and for MMEngine.

MMEngine reads every checkpoint (``load_from``, ``resume``, ``init_cfg``, ``mim test``, inferencers) with the loaders of
its ``CheckpointLoader``. Importing ``tfpose_mm.safe_loading`` replaces those of files and http(s) by
:func:`load_from_local` and :func:`load_from_http`.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Callable, Union
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors import safe_open

from ..errors import MissingFileError, UserError
from ..host.requirements import parse_version
from .allowed_types import ALLOWED, LogHistory, map_values, restore_arrays
from .torch_files import LEGACY, ZIP, read_torch_file

METADATA = "tfpose_mm"  # key of the JSON text in a published file
ARRAYS = dict(  # of MMPose's metainfo
    keypoint_colors=np.uint8, skeleton_link_colors=np.uint8, dataset_keypoint_weights=np.float32, sigmas=np.float32
)
HASHED_NAME = re.compile(r"-([0-9a-f]{8})$")
Device = Union[str, torch.device, Callable, None]  # torch.load's map_location


def read_checkpoint(path: str | Path, map_location: Device = "cpu") -> dict[str, Any]:
    """Read a checkpoint file of torch or safetensors. No code in the file runs.

    Args:
        path: The file: a ``.safetensors`` file, or one that ``torch.save`` wrote.
        map_location: Device of the tensors. Functions and ``None`` give the CPU.

    Returns:
        The content: MMEngine's dict with ``state_dict``, ``meta`` and so on, or the parameters by their names.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file is not a complete checkpoint, or contains anything but tensors, numbers, text and
            containers of them.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"The checkpoint {path} does not exist: check the path, or train a model first.")
    try:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
        if isinstance(content, dict):
            _restore_objects(content)
    except UserError:
        raise
    except UnpicklingError as error:
        raise _refusal(path, error) from None  # torch's message would tell the user to trust the file
    except Exception as error:  # a damaged file raises any kind of error
        if "TorchScript" in str(error):
            raise UserError(f"{path} is a TorchScript program, not a checkpoint: use the checkpoint itself.") from None
        reason = _reason(str(error)) or type(error).__name__
        raise UserError(f"{path} is not a complete checkpoint ({reason}): use another file.") from error
    _check_content(path, content)
    if isinstance(map_location, (str, torch.device)) and torch.device(map_location).type != "cpu":
        map_values(content, lambda value: value.to(map_location) if isinstance(value, torch.Tensor) else value)
    return content


def _read_torch(path: Path) -> Any:  # noqa: ANN401 - not checked yet
    with path.open("rb") as file:
        start = file.read(len(LEGACY))
    if not start.startswith(ZIP) and start != LEGACY:
        raise UserError(f"{path} is not a checkpoint: expected a file of torch.save or a .safetensors file.")
    if parse_version(torch.__version__) < (2, 6):
        return restore_arrays(read_torch_file(path))
    with torch.serialization.safe_globals([(found, name) for name, found in ALLOWED.items()]):
        return restore_arrays(torch.load(path, map_location="cpu", weights_only=True))


def _refusal(path: Path, error: UnpicklingError) -> UserError:
    message = str(error)
    name = re.search(r"GLOBAL (\S+)", message)
    if name:
        return UserError(
            f"The checkpoint {path} must contain only tensors, numbers and text, but it contains "
            f"{_shorten(name.group(1))}, which could run code: it was not loaded; use a .safetensors file, or, if the "
            "file is yours, save its state_dict alone, as in torch.save(dict(state_dict=model.state_dict()), PATH)."
        )
    return UserError(
        f"The checkpoint {path} must contain only tensors, numbers and text, but it is damaged or contains something "
        f"else ({_reason(message.rpartition('WeightsUnpickler error:')[2])}): it was not loaded; use another file, for "
        "example a .safetensors file."
    )


def _reason(message: str) -> str:
    """First line of an error. Some of torch's advise to trust the file: those are left out."""
    line = message.strip().split("\n")[0]
    return "it is of an old or another format" if "weights_only" in line else _shorten(line)


def _shorten(text: str) -> str:
    """A text of a file, without control characters, as terminals execute them."""
    return ascii(text)[1:-1][:120]


def _check_content(path: Path, content: object) -> None:
    """Check the structure that all readers of a checkpoint expect."""
    if not isinstance(content, dict):
        raise UserError(f"{path} must contain a dict with parameters, but contains a {type(content).__name__}.")
    state = content.get("state_dict", content)
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(f"The state_dict of {path} must be a dict from names to tensors, but is not: use another file.")
    if "state_dict" in content:
        for name in ("meta", "message_hub"):
            if not isinstance(content.get(name, {}), dict):
                del content[name]  # MMEngine expects dicts


def _restore_objects(content: dict) -> None:
    """Give MMEngine its histories of logged values and MMPose its arrays of a data set's metainfo back."""
    meta, hub = content.get("meta"), content.get("message_hub")
    metainfo = meta.get("dataset_meta") if isinstance(meta, dict) else None
    if isinstance(metainfo, dict):
        for name, dtype in ARRAYS.items():
            if isinstance(metainfo.get(name), list):
                metainfo[name] = np.array(metainfo[name], dtype)
    scalars = hub.get("log_scalars") if isinstance(hub, dict) else None
    scalars = scalars if isinstance(scalars, dict) else {}
    for name, value in scalars.items():
        state = vars(value) if isinstance(value, LogHistory) else value
        if isinstance(state, dict) and {"_log_history", "_count_history", "max_length"} <= set(state):
            scalars[name] = HistoryBuffer(state["_log_history"], state["_count_history"], state["max_length"])


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    meta = json.loads(metadata.get(METADATA, "{}"), object_hook=_numbers_as_keys)
    in_name = HASHED_NAME.search(path.stem)
    if METADATA in metadata and in_name and in_name.group(1) != sha256(path)[:8]:
        raise UserError(
            f"{path} must have the SHA-256 that its name ends in, but has {sha256(path)[:8]}: the file is damaged; "
            "copy or download it again."
        )
    return dict(state_dict=state, meta=meta if isinstance(meta, dict) else {})


def _numbers_as_keys(pairs: dict) -> dict:
    """JSON writes the numbers of MMPose's ``keypoint_id2name`` as text."""
    return {int(key): value for key, value in pairs.items()} if all(map(str.isdecimal, pairs)) else pairs


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def load_from_local(filename: str, map_location: Device = None) -> dict[str, Any]:
    """MMEngine's loader of files: :func:`read_checkpoint`, without the texts that MMEngine executes as Python configs.

    MMEngine executes ``meta["config"]`` when a training is resumed, and ``cfg`` for an inferencer without a config.

    Args:
        filename: The file.
        map_location: Where the tensors go, as in ``torch.load``.

    Returns:
        The content.

    Raises:
        MissingFileError: If there is no such file.
        UserError: See :func:`read_checkpoint`.
    """
    content = read_checkpoint(filename, map_location)
    for part in (content.get("meta"), (content.get("message_hub") or {}).get("runtime_info")):
        for name in ("config", "cfg"):
            if isinstance(part, dict):
                part.pop(name, None)
    return content


def load_from_http(
    filename: str, map_location: Device = None, model_dir: str | None = None, progress: bool = False
) -> dict[str, Any]:
    """MMEngine's loader of ``http://`` and ``https://``: download into torch's cache once, then load the file.

    Args:
        filename: The address.
        map_location: Where the tensors go, as in ``torch.load``.
        model_dir: Folder of the download; ``None`` is torch's cache.
        progress: Whether to show the progress.

    Returns:
        The content, as :func:`load_from_local` returns it.

    Raises:
        UserError: See :func:`read_checkpoint`.
    """
    folder = Path(model_dir or Path(torch.hub.get_dir()) / "checkpoints")
    path = folder / Path(urlparse(filename).path).name
    rank, _ = get_dist_info()
    if rank != 0:
        barrier()  # rank 0 downloads; other machines download their own copy afterwards
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(filename, str(path), progress=progress)
    finally:
        if rank == 0:
            barrier()
    return load_from_local(str(path), map_location)


def register_loaders() -> None:
    """Replace MMEngine's loaders of files and of http(s), which run code in a checkpoint, by those of this module."""
    CheckpointLoader.register_scheme("", load_from_local, force=True)
    CheckpointLoader.register_scheme(("http://", "https://"), load_from_http, force=True)

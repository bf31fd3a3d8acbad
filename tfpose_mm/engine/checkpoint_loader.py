"""Read checkpoints without running code that they contain, for the commands of this package and for MMEngine.

MMEngine reads every checkpoint (``load_from``, ``resume``, ``init_cfg``, ``mim test``, inferencers) with its
``CheckpointLoader``. Importing ``tfpose_mm.safe_loading`` replaces its loaders of files and http(s) by those of this
module. torch's ``weights_only`` decides what a file may contain.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable, Union
from urllib.parse import urlparse

import torch
from mmengine.config import ConfigDict
from mmengine.utils import digit_version
from mmpose.registry import MODELS
from safetensors import safe_open
from torch import nn

from ..errors import MissingFileError, UserError
from ..tables import markdown_table
from .checkpoint_values import PICKLED_TYPES, from_plain, restore_values

SHOWN = 40  # rows of a table of parameters that do not fit
METADATA = "tfpose_mm"  # key of the JSON text in a published file
Device = Union[str, torch.device, Callable, None]  # torch.load's map_location


def read_checkpoint(path: str | Path, map_location: Device = "cpu") -> dict[str, Any]:
    """Read a checkpoint of torch, or a ``.safetensors`` file, without running code in it (torch 2.6 or later).

    Args:
        path: The file.
        map_location: Device of the tensors, as in ``torch.load``; ``None`` is the CPU.

    Returns:
        The content: MMEngine's dict with ``state_dict``, ``meta`` and so on, or the parameters by their names.

    Raises:
        UserError: If the file is missing, damaged, or contains anything but tensors, numbers, text and containers of
            them.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise MissingFileError(f"The checkpoint {path} does not exist: check the path, or train a model first.")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    try:
        content = read(path, map_location or "cpu")
        state = content.get("state_dict", content) if isinstance(content, dict) else None
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise UserError(f"{path} must contain a dict from names to tensors, but does not: use another file.")
        return from_plain(content)
    except UserError:
        raise
    except Exception as error:  # a damaged file raises any kind of error; torch's message advises to trust the file
        raise UserError(
            f"The checkpoint {path} must be complete and contain only tensors, numbers and text, but it was not loaded "
            f"({_shorten(str(error) or type(error).__name__)}): other content could run code; use a .safetensors file, "
            "or, if the file is yours, save its state_dict alone, as in "
            "torch.save(dict(state_dict=model.state_dict()), PATH)."
        ) from None


def _read_torch(path: Path, map_location: Device) -> Any:  # noqa: ANN401 - not checked yet
    if digit_version(torch.__version__) < digit_version("2.6"):  # torch has no list of further types there
        return torch.load(path, map_location=map_location, weights_only=True)
    with torch.serialization.safe_globals(PICKLED_TYPES):
        return restore_values(torch.load(path, map_location=map_location, weights_only=True))


def _read_safetensors(path: Path, map_location: Device) -> dict[str, Any]:
    with safe_open(str(path), framework="pt", device="cpu" if callable(map_location) else str(map_location)) as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    in_name = re.search(r"-([0-9a-f]{8})$", path.stem)
    if METADATA in metadata and in_name and in_name.group(1) != sha256(path)[:8]:
        raise UserError(
            f"{path} must have the SHA-256 that its name ends in, but has {sha256(path)[:8]}: the file is damaged; "
            "copy or download it again."
        )
    return dict(state_dict=state, meta=json.loads(metadata.get(METADATA, "{}"), object_hook=_numbers_as_keys))


def _numbers_as_keys(pairs: dict) -> dict:
    """JSON writes the numbers of MMPose's ``keypoint_id2name`` as text."""
    return {int(key): value for key, value in pairs.items()} if all(map(str.isdecimal, pairs)) else pairs


def _shorten(reason: str) -> str:
    """The cause without torch's advice to trust the file, and without control characters, which terminals execute."""
    named = re.search(r"(?:GLOBAL|Unsupported class) \S+", reason)
    cause = named.group() if named else reason.rpartition("WeightsUnpickler error:")[2].strip().split("\n")[0]
    return "it is of an old or another format" if "weights_only" in cause else ascii(cause)[1:-1][:120]


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
    """
    content = read_checkpoint(filename, map_location)
    for part in (content.get("meta"), (content.get("message_hub") or {}).get("runtime_info")):
        for name in ("config", "cfg"):
            if isinstance(part, dict):
                part.pop(name, None)
    return content


def load_from_http(filename: str, map_location: Device = None) -> dict[str, Any]:
    """MMEngine's loader of http(s): download into torch's cache once, then :func:`load_from_local`."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(filename).path).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(path), progress=False)
    return load_from_local(str(path), map_location)


def load_model(cfg: ConfigDict, checkpoint: str | Path, device: str = "cpu") -> nn.Module:
    """Build a model for inference, in evaluation mode, and load its weights, see :func:`read_fitting_weights`.

    Args:
        cfg: Config of the model.
        checkpoint: The file. Parameters that the model does not have are ignored.
        device: ``"cpu"`` or a CUDA device such as ``"cuda:0"``.
    """
    model = MODELS.build(cfg).eval()
    model.load_state_dict(read_fitting_weights(model, checkpoint), strict=False)
    return model.to(device)


def read_fitting_weights(model: nn.Module, checkpoint: str | Path) -> dict[str, torch.Tensor]:
    """Read the parameters of a checkpoint that has all parameters of a model.

    MMEngine only warns if a checkpoint lacks parameters, and keeps their random values.

    Raises:
        UserError: If the file cannot be read, or a parameter of the model is missing or has another shape; the message
            has a table of all parameters and buffers that differ.
    """
    content = read_checkpoint(checkpoint)
    # MMEngine removes the "module." of wrappers for several GPUs, too
    state = {name.removeprefix("module."): value for name, value in content.get("state_dict", content).items()}
    expected, given = _shapes(model.state_dict()), _shapes(state)
    names = [name for name in {**expected, **given} if expected.get(name) != given.get(name)]
    if {name for name, _ in model.named_parameters()}.intersection(names):
        rows = [[name, expected.get(name, "missing"), given.get(name, "missing")] for name in names]
        left_out = f"\nand {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        table = "\n".join(markdown_table([["parameter", "model", "checkpoint"], *rows[:SHOWN]]))
        raise UserError(
            f"The checkpoint {checkpoint} does not fit the config's model: use the config that it was trained with.\n"
            f"{table}{left_out}"
        )
    return state


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: " x ".join(map(str, value.shape)) or "scalar" for name, value in tensors.items()}

"""Publish a checkpoint: weights as safetensors, with metadata, and the config beside them."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Mapping, NamedTuple

import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from tfpose_lite.host import list_versions

from ..engine import METADATA, read_checkpoint, sha256, to_plain
from ..utils import UserError
from ..version import __version__

# what belongs to the training and to the machine that it ran on
OF_THE_RUN = ("work_dir", "load_from", "resume", "launcher")


class Published(NamedTuple):
    """The files of :func:`publish`.

    Attributes:
        weights: The ``.safetensors`` file.
        config: The config, ``None`` if the checkpoint has none.
        sha256: SHA-256 of the weights, whose first 8 digits end both names.
    """

    weights: Path
    config: Path | None
    sha256: str


def publish(checkpoint: str | Path, out: str | Path) -> Published:
    """Write the parameters of a checkpoint into a ``.safetensors`` file, which cannot contain code.

    The file has no optimizer state. Its metadata are a JSON text under the key ``tfpose_mm``: ``dataset_meta`` (names
    of the keypoints, flip pairs, skeleton), ``metrics`` (the last validation), ``epoch``, ``iter``, ``versions`` and
    ``config_text``. The config is also written beside the file. It is Python code: read it before you use one that
    somebody else wrote.

    Args:
        checkpoint: A checkpoint that MMEngine saved, or another file with parameters.
        out: Path of the new files without ending; ``-``, 8 digits of the SHA-256 and the endings are appended.

    Returns:
        The files.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        UserError: If the checkpoint cannot be read, has no parameters, or was published already under this name.
    """
    content = read_checkpoint(checkpoint)
    state = content.get("state_dict", content)
    # contiguous copies, because safetensors refuses parameters that share memory
    tensors = {name: value.contiguous().clone() for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UserError(f"{checkpoint} must have parameters, but has none: choose a checkpoint of a model.")
    meta = _describe(content)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        save_file(
            tensors, str(part), metadata={METADATA: json.dumps(meta)}
        )  # safetensors writes several in random order
        digest = sha256(part)
        weights, config = (out.with_name(f"{out.name}-{digest[:8]}{ending}") for ending in (".safetensors", ".py"))
        for path in (weights, config):
            if path.exists():
                raise UserError(f"{path} exists already: choose another name; nothing was changed.")
        os.replace(part, weights)
    finally:
        part.unlink(missing_ok=True)
    text = meta["config_text"]
    if text is not None:
        config.write_text(text, encoding="utf-8")
    return Published(weights, config if text is not None else None, digest)


def _describe(content: Mapping) -> dict:
    meta, hub = content.get("meta") or {}, content.get("message_hub") or {}
    metrics = {}
    for name, history in (hub.get("log_scalars") or {}).items():
        if name.startswith("val/") and isinstance(history, HistoryBuffer) and not name.endswith("time"):
            metrics[name[len("val/") :]] = float(history.current())
    text = meta.get("cfg", meta.get("config_text"))
    return dict(
        dataset_meta=to_plain(meta.get("dataset_meta")),
        metrics=metrics or meta.get("metrics", {}),
        epoch=meta.get("epoch"),
        iter=meta.get("iter"),
        versions=meta.get("versions", dict(tfpose_mm=__version__, **list_versions())),
        config_text=None if text is None else _without_the_run(text),
    )


def _without_the_run(text: str) -> str:
    """A config without paths of the training. The text is parsed, not executed."""
    lines = text.splitlines()
    for statement in reversed(ast.parse(text).body):
        names = [target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)]
        if names and names[0] in OF_THE_RUN:
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "\n".join(lines).strip() + "\n"

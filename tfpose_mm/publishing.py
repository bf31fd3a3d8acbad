"""Publish a checkpoint: weights as safetensors, with metadata, and the config beside them."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from .engine import METADATA, read_checkpoint, sha256
from .engine.checkpoint_values import to_plain
from .errors import UserError

# config entries that hold for one training run only
OF_THE_RUN = ("work_dir", "load_from", "resume", "launcher")


class Published(NamedTuple):
    """The files of :func:`publish`.

    Attributes:
        weights: The ``.safetensors`` file.
        config: The config, ``None`` if the checkpoint has none.
        sha256: SHA-256 of the ``.safetensors`` file; its first 8 digits end both names.
        metrics: Validation metrics; empty if the checkpoint was saved before its validation.
    """

    weights: Path
    config: Path | None
    sha256: str
    metrics: dict[str, float]

    def __str__(self) -> str:
        """The files, the hash and the metrics."""
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        no_metrics = "none: the checkpoint was saved before its validation; best_*.pth files have them"
        return (
            f"weights: {self.weights}\nsha256:  {self.sha256}\n"
            f"config:  {self.config or 'none: the checkpoint has no config'}\nmetrics: {metrics or no_metrics}"
        )


def publish(checkpoint: str | Path, out: str | Path) -> Published:
    """Publish a checkpoint: its weights as .safetensors, and its config.

    A .safetensors file cannot contain code. The new files are OUT-HASH.safetensors and OUT-HASH.py; HASH is the
    beginning of the SHA-256 of the first file. The commands of this package, mim test, load_from and init_cfg read the
    result. The file has no optimizer state: keep the checkpoint to resume the training. Its metadata are a JSON text
    under the key ``tfpose_mm``: ``dataset_meta`` (names of the keypoints, flip pairs, skeleton), ``metrics`` (if the
    checkpoint was saved after its validation), ``epoch``, ``iter``, ``versions`` (of the training, if
    ``PlainCheckpointHook`` saved the checkpoint) and ``config_text``. The config is Python code: read it before you use
    one that somebody else wrote.

    Args:
        checkpoint: A checkpoint that MMEngine saved, or another file with parameters.
        out: Path of the new files without ending.

    Returns:
        The files.

    Raises:
        MissingFileError: If there is no such checkpoint.
        UserError: If the checkpoint cannot be read, has no parameters, or was published already under this name.
    """
    content = read_checkpoint(checkpoint)
    tensors = _dense_tensors(content.get("state_dict", content), checkpoint)
    meta = _describe(content)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        # one entry, because safetensors writes several in random order, which changes the hash
        save_file(tensors, str(part), metadata={METADATA: json.dumps(meta)})
        digest = sha256(part)
        weights, config = (out.with_name(f"{out.name}-{digest[:8]}{ending}") for ending in (".safetensors", ".py"))
        for path in (weights, config):
            if path.exists():
                raise UserError(f"{path} exists already: choose another name; nothing was changed.")
        if meta["config_text"] is not None:
            config.write_text(meta["config_text"], encoding="utf-8")
        os.replace(part, weights)
    finally:
        part.unlink(missing_ok=True)
    return Published(weights, config if meta["config_text"] is not None else None, digest, meta["metrics"])


def _dense_tensors(state: Mapping, checkpoint: str | Path) -> dict[str, torch.Tensor]:
    """Contiguous copies, because safetensors refuses parameters that share memory."""
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UserError(f"{checkpoint} must have parameters, but has none: choose a checkpoint of a model.")
    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise UserError(
                f"{checkpoint} must have dense parameters, but {name} is sparse, quantized or without data."
            )
    return {name: value.detach().resolve_conj().contiguous().clone() for name, value in tensors.items()}


def _describe(content: Mapping) -> dict:
    meta = to_plain(content.get("meta") or {})
    hub = content.get("message_hub") or {}
    metrics = meta.get("metrics", {})
    validated = meta.get("validated_iter")
    if validated is not None and validated == meta.get("iter"):
        scalars = hub.get("log_scalars") or {}
        histories = {name: value for name, value in scalars.items() if name.startswith("val/")}
        metrics = {
            name[len("val/") :]: float(value.current())
            for name, value in histories.items()
            if isinstance(value, HistoryBuffer) and not name.endswith("time")
        }
    text = meta.get("cfg", meta.get("config_text"))
    described = dict(
        dataset_meta=meta.get("dataset_meta"),
        metrics=metrics,
        epoch=meta.get("epoch"),
        iter=meta.get("iter"),
        versions=meta.get("versions"),
        config_text=_without_the_run(text) if isinstance(text, str) else None,
    )
    return {name: value if _is_json(value) else None for name, value in described.items()}


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _without_the_run(text: str) -> str | None:
    """A config without paths of the training; ``None`` if it is not Python. The text is parsed, not executed."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = text.splitlines()
    for statement in reversed(statements):
        names = [target.id for target in getattr(statement, "targets", ()) if isinstance(target, ast.Name)]
        if names and names[0] in OF_THE_RUN:
            del lines[statement.lineno - 1 : statement.end_lineno]
    return "\n".join(lines).strip() + "\n"

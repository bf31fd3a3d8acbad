"""Publish a checkpoint: weights as safetensors, with metadata, and the config beside them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save

from .engine import METADATA, read_checkpoint
from .engine.atomic_files import write_atomic
from .engine.checkpoint_values import to_plain
from .errors import UserError, need_new


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
    state = content.get("state_dict", content)
    # copies, because safetensors refuses parameters that share memory
    tensors = {name: value.contiguous().clone() for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise UserError(f"{checkpoint} must have parameters, but has none: choose a checkpoint of a model.")
    meta = _describe(content)
    out = Path(out)
    # one entry of metadata, because safetensors writes several in random order, which changes the hash
    data = save(tensors, metadata={METADATA: json.dumps(meta)})
    digest = hashlib.sha256(data).hexdigest()
    weights, config = (out.with_name(f"{out.name}-{digest[:8]}{ending}") for ending in (".safetensors", ".py"))
    need_new(weights, config)
    if meta["config_text"] is not None:
        write_atomic(config, meta["config_text"].encode())
    write_atomic(weights, data)
    return Published(weights, config if meta["config_text"] is not None else None, digest, meta["metrics"])


def _describe(content: Mapping) -> dict:
    meta = to_plain(content.get("meta") or {})
    metrics = meta.get("metrics", {})  # of a published file
    if meta.get("validated_iter") is not None and meta["validated_iter"] == meta.get("iter"):
        scalars = content.get("message_hub", {}).get("log_scalars", {}).items()
        values = {name[4:]: float(value.current()) for name, value in scalars if name.startswith("val/")}
        metrics = {name: value for name, value in values.items() if not name.endswith("time")}
    text = meta.get("cfg", meta.get("config_text"))
    if text is not None:  # the paths of the training, each on a line of its own in MMEngine's text
        text = re.sub(r"^(work_dir|load_from|resume|launcher) = .*\n?", "", text, flags=re.M).strip() + "\n"
    described = {name: meta.get(name) for name in ("dataset_meta", "epoch", "iter", "versions")}
    return dict(described, metrics=metrics, config_text=text)

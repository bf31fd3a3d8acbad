"""The runs of a plan: which configs are trained, with which options and seeds."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import mmengine
from mmengine.config import Config, DictAction

from tfpose_mm.errors import UserError, need_file

PASSIVE_HOOKS = (
    "CheckFiniteHook",
    "PlainCheckpointHook",
    "PreemptionHook",
    "ResumeHook",
    "mmdet.CheckInvalidLossHook",
)


class Run(NamedTuple):
    """One training of a plan.

    Attributes:
        name: Its name in the table.
        config: The config.
        options: Changes to it, by dotted keys.
        seed: The random seed.
        folder: The work directory.
    """

    name: str
    config: str
    options: dict
    seed: int
    folder: Path

    @property
    def settings(self) -> list[str]:
        """Its options and seed, as ``--cfg-options`` takes them."""
        return [f"{key}={value}" for key, value in {**self.options, "randomness.seed": self.seed}.items()]

    @property
    def command(self) -> list[str]:
        """The command that trains it."""
        mim = str(Path(sys.executable).with_name("mim"))
        return [
            mim,
            "train",
            "mmpose",
            self.config,
            "--work-dir",
            str(self.folder),
            "--resume",
            "--cfg-options",
            *self.settings,
        ]


def read_plan(path: Path, out: Path) -> tuple[str, list[Run]]:
    """Read a plan.

    Args:
        path: The yaml file.
        out: Folder under which the runs are trained.

    Returns:
        The compared metric, and the runs, one for each seed.

    Raises:
        UserError: If plan or config is missing, if two runs have the same name, or if a field is unknown.
    """
    need_file("plan", path, "choose one of benchmarks/plans/")
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"{path} is not a plan: it must be a .yaml file.")
    content = mmengine.load(str(path))
    if not {"metric", "runs"} <= set(content) <= {"metric", "runs", "options"}:
        raise UserError(f"{path} has {', '.join(content)}: a plan needs metric and runs, and takes options.")
    if not content["runs"]:
        raise UserError(f"{path} has no runs: give at least one, with name and config.")
    runs = []
    for entry in content["runs"]:
        fits = {"name", "config"} <= set(entry) <= {"name", "config", "options", "seeds"}
        if not fits or not isinstance(entry.get("seeds", []), list):
            raise UserError(
                f"A run of {path} has {', '.join(entry)}: it needs name and config, and takes options and a list of "
                "seeds."
            )
        need_file("config", entry["config"], "run this tool in the folder that the plan's paths start from")
        slug = re.sub(r"\W+", "_", entry["name"]).strip("_").lower()
        for seed in entry.get("seeds", [0]):
            folder = out / path.stem / slug / f"seed{seed}"
            options = {**content.get("options", {}), **entry.get("options", {})}
            runs.append(Run(entry["name"], entry["config"], options, seed, folder))
    folders = [job.folder for job in runs]
    if len(set(folders)) < len(folders):
        raise UserError(f"Two runs of {path} have the same name and seed: give each its own.")
    return content["metric"], runs


def config_hash(job: Run) -> str:
    """Hash the settings of a run: its config file with all bases, its options and its seed.

    The folder of the data, safe loading, and the hooks that only write, check and log, are left out: they do not change
    the training.

    Args:
        job: The run.

    Returns:
        A hexadecimal number.
    """
    cfg = Config.fromfile(job.config)
    cfg.merge_from_dict(parse_options(job))
    content = _without_root(cfg.to_dict(), str(cfg.get("data_root") or "").rstrip("/"))
    content.pop("default_hooks", None)
    imports = content["custom_imports"]["imports"]
    content["custom_imports"]["imports"] = [name for name in imports if name != "tfpose_mm.safe_loading"]
    content["custom_hooks"] = [hook for hook in content.get("custom_hooks") or [] if hook["type"] not in PASSIVE_HOOKS]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _without_root(value: Any, root: str) -> Any:  # noqa: ANN401 - a config has values of any type
    """A nested config in which every path in a folder is relative to it."""
    if isinstance(value, dict):
        return {key: _without_root(item, root) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_root(item, root) for item in value]
    is_inside = root and isinstance(value, str) and f"{value}/".startswith(f"{root}/")
    return value[len(root) :].lstrip("/") if is_inside else value


def parse_options(job: Run) -> dict:
    """Return options and seed with the values that MMEngine parses from the command line.

    Args:
        job: The run.

    Returns:
        Values by dotted keys.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return parser.parse_args(["--cfg-options", *job.settings]).cfg_options


def check_unchanged(job: Run, hashed: str) -> None:
    """Check that the config of a run has not changed since the run was started.

    Args:
        job: The run.
        hashed: Its :func:`config_hash`.

    Raises:
        UserError: If its folder was trained with another config, other options or another seed, or has no hash.
    """
    if not job.folder.exists():
        return
    began = job.folder / "config_hash"
    fix = f"delete {job.folder}, or give the run another name."
    if not began.exists():
        raise UserError(f"{job.folder} exists, but has no config_hash, so its config is unknown: {fix}")
    if began.read_text(encoding="utf-8") != hashed:
        raise UserError(
            f"{job.name}, seed {job.seed} was started before, but {job.config} or its options have changed: {fix}"
        )

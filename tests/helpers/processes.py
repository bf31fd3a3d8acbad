"""Start commands as users do: in a new process, from any folder, without PYTHONPATH."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import mmpose
from mmengine.config import Config

from .paths import TINY
from .preloaded import run_preloaded

# one short epoch of the demo's config, without worker processes
SMALL = [
    "train_cfg.max_epochs=1",
    "train_cfg.val_interval=1",
    "train_dataloader.batch_size=5",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "val_dataloader.num_workers=0",
    "val_dataloader.persistent_workers=False",
    "test_dataloader.num_workers=0",
    "test_dataloader.persistent_workers=False",
    "default_hooks.logger.interval=1",
]
NO_WORKERS = SMALL[5:]
TFPOSE = (sys.executable, "-m", "tfpose_mm")
PRELOADED = ("tfpose_mm", "benchmarks.keypoint_scores")
SCRIPTS = Path(mmpose.__path__[0]) / ".mim/tools"  # what mim starts


def in_process_config(work_dir, **changes):
    """The demo's config for a runner in this process: without worker processes; changes by dotted keys."""
    cfg = Config.fromfile(str(TINY))
    options = {name: ast.literal_eval(value) for name, value in (option.split("=", 1) for option in SMALL[3:])}
    cfg.merge_from_dict({**options, "work_dir": str(work_dir), **changes})
    return cfg


def free_port():
    """A port of this machine that no process uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def succeed(process):
    """The output of a process that must have succeeded."""
    assert process.returncode == 0, (process.stdout + process.stderr)[-3000:]
    return process.stdout + process.stderr


def start(*command, cwd, **environment):
    """Run a command and wait for its end; keyword arguments are environment variables.

    A command of the package, or a script that mim starts, runs in a process that has imported the packages already,
    which saves 5 seconds.
    """
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env.update((name, str(value)) for name, value in environment.items())
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    if command[:2] == (sys.executable, "-m") and command[2] in PRELOADED and "PYTHONPATH" not in env:
        return run_preloaded(command[2], command[3:], cwd, env)
    if command[0] == sys.executable and Path(command[1]).parent == SCRIPTS:
        return run_preloaded(str(command[1]), command[2:], cwd, env)
    return subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def mim(action, *arguments, cwd, data, options=(), itself=False):
    """Run the script of ``mim train`` or ``mim test`` with the demo's config and few iterations.

    Its arguments are those of mim, ``cwd`` is the folder in which it runs, ``data`` that of the synthetic images,
    ``options`` are more ``--cfg-options``. ``itself`` starts mim, which starts Python three times.
    """
    if itself:
        command = [Path(sys.executable).parent / "mim", action, "mmpose", TINY, *arguments]
    else:  # mim test has --checkpoint, the script a second argument
        command = [sys.executable, SCRIPTS / f"{action}.py", TINY, *(a for a in arguments if a != "--checkpoint")]
    return start(*command, "--cfg-options", *SMALL, *options, cwd=cwd, SYNTHETIC_ROOT=data)

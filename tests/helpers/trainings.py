"""Train the demo's model with every kind of state that a resumed training needs, and compare checkpoints."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import torch

from .paths import ROOT
from .processes import in_process_config

# few and small epochs of the demo's config
SHORT = {"train_cfg.val_interval": 1000, "train_dataloader.batch_size": 5, "default_hooks.checkpoint.interval": 1}
# dropout needs torch's random state, augmentation that of NumPy; EMA and schedules have a state of their own
STATEFUL = {
    "model.neck.dropout": 0.1,
    "model.head.dropout": 0.1,
    "param_scheduler.0.end": 5,
    "default_hooks.checkpoint.max_keep_ckpts": 2,
}
EMA = dict(type="EMAHook", momentum=0.1, update_buffers=True)


def differences(checkpoint, other):
    """Names of the values of two checkpoints that are not the same bits: weights, averages, optimizer, schedules."""
    first, second = (torch.load(path, weights_only=True, map_location="cpu") for path in (checkpoint, other))
    parts = {"state_dict", "ema_state_dict", "optimizer", "param_schedulers"} & set(first)
    assert parts >= {"state_dict", "optimizer", "param_schedulers"}
    return [name for part in sorted(parts) for name in _differing(part, first[part], second[part])]


def _differing(name, value, other):
    if isinstance(value, (list, tuple)):
        value, other = dict(enumerate(value)), dict(enumerate(other))
    if isinstance(value, dict):
        assert set(value) == set(other), name
        return [item for key in value for item in _differing(f"{name}.{key}", value[key], other[key])]
    is_same = torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other
    return [] if is_same else [name]


# SLOW_DISK: seconds that a checkpoint needs until it is on the disk
TRAIN = """
import os, sys, time
from mmengine.config import Config
from mmengine.runner import Runner
import tfpose_mm
fsync = os.fsync
def slow(descriptor):
    if ".pth" in os.readlink(f"/proc/self/fd/{descriptor}"):
        time.sleep(float(os.environ["SLOW_DISK"]))
    fsync(descriptor)
os.fsync = slow
Runner.from_cfg(Config.fromfile(sys.argv[1])).train()
"""


def training_command(folder, epochs, **changes):
    """A command that trains the demo's config with EMA in ``folder / "work"``, and resumes."""
    changes = {**SHORT, **changes, "train_cfg.max_epochs": epochs, "resume": True}
    cfg = in_process_config(folder / "work", **changes)
    cfg.custom_hooks = [*cfg.custom_hooks, EMA]
    cfg.dump(str(folder / "config.py"))
    return [sys.executable, "-c", TRAIN, str(folder / "config.py")]


def start_training(command, slow_disk=0.0):
    """Start it in a process group of its own."""
    env = {**os.environ, "SLOW_DISK": str(slow_disk), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def logs_of(folder):
    return sorted(folder.glob("2*/*.log"), key=lambda path: path.stat().st_mtime)


def log_of(folder):
    """The text of the logs of all trainings in a work directory, oldest first."""
    return "\n".join(path.read_text() for path in logs_of(folder))


def wait_for_iterations(process, folder):
    """Wait until the training has logged an iteration; raise if it ends before."""
    began = time.time()
    while process.poll() is None:
        logs = [path for path in logs_of(folder) if path.stat().st_mtime >= began]
        if logs and "Epoch(train)" in logs[-1].read_text():
            return
        time.sleep(0.02)
    raise RuntimeError(process.stderr.read().decode()[-2000:])

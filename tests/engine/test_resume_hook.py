"""Kill trainings and resume them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.runner import Runner

from tests.helpers.paths import ROOT
from tests.helpers.processes import in_process_config
from tfpose_mm.utils import UserError

OPTIONS = {"train_cfg.val_interval": 10, "train_dataloader.batch_size": 5, "default_hooks.checkpoint.interval": 1}
SLOW_DISK = """
import os, sys, time
from mmengine.config import Config
from mmengine.runner import Runner
import tfpose_mm
cfg = Config.fromfile(sys.argv[1])
fsync, calls = os.fsync, []
def slow(descriptor):
    calls.append(descriptor)
    if len(calls) > 2:  # the second checkpoint: a file and its folder are synced for each
        time.sleep(60)
    fsync(descriptor)
os.fsync = slow
Runner.from_cfg(cfg).train()
"""


def log_of(folder):
    return "\n".join(path.read_text() for path in folder.glob("2*/*.log"))


@pytest.fixture
def make_runner(people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))

    def make(epochs, **changes):
        options = {**OPTIONS, "train_cfg.max_epochs": epochs, **changes}
        return Runner.from_cfg(in_process_config(tmp_path / "work", **options))

    return make


def test_a_training_killed_while_it_saves_resumes_from_the_checkpoint_before(make_runner, people, tmp_path):
    folder = tmp_path / "work"
    changes = {**OPTIONS, "train_cfg.max_epochs": 3, "default_hooks.checkpoint.max_keep_ckpts": 1}
    in_process_config(folder, **changes).dump(str(tmp_path / "config.py"))
    command = [sys.executable, "-c", SLOW_DISK, str(tmp_path / "config.py")]
    env = {**os.environ, "SYNTHETIC_ROOT": str(people)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not list(folder.glob("epoch_2.pth.*.part")):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()[-2000:]
    assert [path.name for path in folder.glob("*.pth")] == ["epoch_1.pth"]  # also with one kept checkpoint
    assert list(folder.glob("*.part"))

    runner = make_runner(3, resume=True)
    runner.train()
    assert not list(folder.glob("*.part"))
    assert runner.epoch == 3
    assert f"Resuming from {folder}/epoch_1.pth: epoch 1, iteration 2." in log_of(folder)
    assert "was not complete when an earlier training stopped: it is removed" in log_of(folder)


@pytest.mark.parametrize("pointer", [None, "", "work/epoch_9.pth"])
def test_a_damaged_checkpoint_is_skipped(make_runner, tmp_path, pointer):
    folder = tmp_path / "work"
    make_runner(2).train()
    content = (folder / "epoch_2.pth").read_bytes()
    (folder / "epoch_2.pth").write_bytes(content[: len(content) // 2])
    if pointer is None:
        (folder / "last_checkpoint").unlink()
    else:
        (folder / "last_checkpoint").write_text(pointer)
    runner = make_runner(3, resume=True)
    runner.train()
    assert runner.epoch == 3
    log = log_of(folder)
    assert "epoch_2.pth is not a complete checkpoint" in log
    assert f"Resuming from {folder}/epoch_1.pth: epoch 1" in log
    assert torch.load(folder / "epoch_3.pth", weights_only=False)["meta"]["epoch"] == 3


def test_without_a_complete_checkpoint_it_stops(make_runner, tmp_path):
    make_runner(1).train()
    (tmp_path / "work/epoch_1.pth").write_bytes(b"")
    with pytest.raises(UserError, match="must have a complete checkpoint to resume from, but none of its 1 is"):
        make_runner(2, resume=True).train()


def test_without_any_checkpoint_it_starts(make_runner):
    runner = make_runner(1, resume=True)
    runner.train()
    assert runner.epoch == 1


def test_a_named_checkpoint_is_taken(make_runner, tmp_path):
    make_runner(2).train()
    first = str(tmp_path / "work/epoch_1.pth")
    runner = make_runner(2, resume=True, load_from=first)
    runner.train()
    assert "resumed epoch: 1, iter: 2" in log_of(tmp_path / "work")

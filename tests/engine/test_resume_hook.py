"""Kill trainings, fill the disk, and resume."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import random
import re
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from tests.helpers.trainings import (
    EMA,
    STATEFUL,
    differences,
    log_of,
    logs_of,
    start_training,
    training_command,
    wait_for_iterations,
)
from tfpose_mm.engine.hooks import ResumeHook
from tfpose_mm.errors import UserError

SAME_RESULT = "the result equals that of an uninterrupted training bit for bit"


def test_a_training_killed_while_it_saves_resumes_from_the_checkpoint_before(make_runner, tmp_path):
    folder = tmp_path / "work"
    changes = {"default_hooks.checkpoint.max_keep_ckpts": 1}
    make_runner(1, **changes).train()
    with start_training(training_command(tmp_path, 3, **changes), slow_disk=60) as process:
        while process.poll() is None and not list(folder.glob("epoch_2.pth.*.part")):
            time.sleep(0.05)
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()[-2000:]
    assert [path.name for path in folder.glob("epoch*.pth")] == ["epoch_1.pth"]  # also with one kept checkpoint
    assert list(folder.glob("*.part"))

    runner = make_runner(3, resume=True)
    runner.train()
    assert not list(folder.glob("*.part"))
    assert runner.epoch == 3
    assert f"Resuming from {folder}/epoch_1.pth: epoch 1, iteration 2." in log_of(folder)
    assert "was not complete when an earlier training stopped: it is removed" in log_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_is_killed_again_and_again(make_runner, tmp_path, reliability, workers):
    """It goes on from the newest complete checkpoint, and ends with the bits of a training that was not killed."""
    folder, kills, rng = tmp_path / "work", reliability.times(long=10, short=2), random.Random(workers)
    epochs = 4 * kills
    changes = {**STATEFUL, "train_dataloader.num_workers": workers}
    make_runner(epochs, "whole", hooks=[EMA], **changes).train()
    command, left = training_command(tmp_path, epochs, **changes), 0
    for kill in range(kills):
        complete = [path.name for path in folder.glob("epoch_*.pth")]
        newest = max(complete, key=lambda name: int(name[6:-4]), default=None)
        with start_training(command, slow_disk=0.15) as process:
            wait_for_iterations(process, folder)
            time.sleep(rng.uniform(0, 1))
            while kill % 3 == 0 and not list(folder.glob("epoch_*.part")):
                time.sleep(0.01)
            os.killpg(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()[-2000:]
        log = logs_of(folder)[-1].read_text()
        assert newest is None or f"Resuming from {folder / newest}: epoch {newest[6:-4]}, iteration" in log
        left += bool(list(folder.glob("*.part")))
    assert left >= kills / 4
    make_runner(epochs, hooks=[EMA], resume=True, **changes).train()
    last = f"epoch_{epochs}.pth"
    assert differences(tmp_path / "whole" / last, folder / last) == []
    outcome = f"resumes from the newest complete checkpoint; {SAME_RESULT}"
    fault = f"kill -9 at random moments, a third of them while it saves; {workers} workers"
    reliability.row("training", fault, kills, outcome, "the current epoch")


class KillWorker(Hook):
    """Kill a worker in the second epoch, as the kernel does when the memory is used up."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1:
            multiprocessing.active_children()[0].kill()


class FillDisk(Hook):
    """Let the disk be full when the second checkpoint is saved, but not later."""

    def before_train(self, runner):
        real = os.fsync

        def full(descriptor):
            if "epoch_2.pth" in os.readlink(f"/proc/self/fd/{descriptor}"):
                os.fsync = real
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        os.fsync = full


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "hook", "error", "cause"),
    [
        ("a worker of the data loader is killed", KillWorker, r"DataLoader worker \(pid.* (is killed|exited)", "torch"),
        ("the disk is full while a checkpoint is saved", FillDisk, "No space left on device", "the system"),
    ],
)
def test_a_fault_leaves_the_checkpoints_before_it(make_runner, tmp_path, reliability, fault, hook, error, cause):
    changes = {**STATEFUL, "train_dataloader.num_workers": 2, "train_dataloader.batch_size": 2}
    make_runner(3, "whole", hooks=[EMA], **changes).train()
    with pytest.raises((RuntimeError, OSError), match=error):
        make_runner(3, hooks=[EMA, hook()], **changes).train()
    assert sorted(path.name for path in tmp_path.glob("work/epoch*")) == ["epoch_1.pth"]
    make_runner(3, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []
    outcome = f"the training ends with {cause}'s message; after resuming, {SAME_RESULT}"
    reliability.row("training", fault, 1, outcome, "the current epoch")


def test_a_damaged_checkpoint_is_skipped(make_runner, tmp_path):
    """Also if last_checkpoint names it; later epochs of an earlier training in the same folder are not resumed."""
    folder = tmp_path / "work"
    make_runner(3, resume=True).train()  # without a checkpoint it starts
    make_runner(2).train()
    assert (folder / "epoch_3.pth").is_file()
    content = (folder / "epoch_2.pth").read_bytes()
    (folder / "epoch_2.pth").write_bytes(content[: len(content) // 2])
    runner = make_runner(2, resume=True)
    runner.train()
    assert runner.epoch == 2
    assert "Skipped: The checkpoint" in log_of(folder)
    assert f"Resuming from {folder}/epoch_1.pth: epoch 1" in log_of(folder)
    make_runner(2, resume=True).train()
    assert "The checkpoint has all 4 iterations of the config: nothing is left to train." in log_of(folder)
    for path in folder.glob("epoch_*.pth"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="must have a complete checkpoint to resume from, but none of its 3 is"):
        make_runner(2, resume=True).train()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (("epoch_2", "epoch_1", "last_checkpoint"), "epoch_2"),
        (("last_checkpoint", "epoch_2", "epoch_1"), "epoch_2"),
        (("epoch_1", "epoch_2", "last_checkpoint", "preempted"), "epoch_2"),  # the training was resumed from it before
        (("epoch_1", "epoch_2", "last_checkpoint", "epoch_3"), "epoch_3"),  # not a copy: killed before it was named
    ],
)
def test_in_a_copy_of_the_folder_earlier_checkpoints_can_be_newer(tmp_path, order, expected):
    for moment, name in enumerate(order):
        path = tmp_path / (name if name == "last_checkpoint" else f"{name}.pth")
        epoch = int(name[6:]) if name.startswith("epoch") else 1
        if name == "last_checkpoint":
            path.write_text("/elsewhere/epoch_2.pth")
        else:
            torch.save(dict(state_dict={}, meta=dict(epoch=epoch, iter=epoch), message_hub={}), path)
        os.utime(path, (moment, moment))
    runner = SimpleNamespace(cfg=dict(resume=True), work_dir=tmp_path, logger=logging.getLogger("test"))
    ResumeHook().before_run(runner)
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / f"{expected}.pth")


@pytest.mark.slow
def test_another_schedule_or_learning_rate_is_not_dropped_in_silence(make_runner, tmp_path, reliability):
    """MMEngine restores those of the checkpoint; the log says where the schedule ends."""
    folder = tmp_path / "work"

    def resume(epochs, **changes):
        make_runner(epochs, resume=True, **changes).train()
        return logs_of(folder)[-1].read_text()

    make_runner(2).train()
    (folder / "epoch_2.pth").unlink()
    (folder / "last_checkpoint").unlink()
    log = resume(2)
    assert "resumed epoch: 1" in log
    assert "keeps the learning rates and schedules" not in log
    assert "nothing is left" not in log
    kept = "keeps the learning rates and schedules of its checkpoint"
    log = resume(3)
    assert re.search(rf"{kept} \(.*end at iteration 100, 4\), not those of the config \(.*iteration 100, 6\)", log)
    assert "start a new training with load_from=CHECKPOINT" in log
    log = resume(3, **{"optim_wrapper.optimizer.lr": 0.5})
    assert re.search(rf"{kept} .*, not those of the config .*0\.5", log)
    assert "The checkpoint has all 6 iterations of the config: nothing is left to train." in log
    reliability.row("inputs", "resuming with a longer schedule, and a finished training", 1, "a sentence in the log")

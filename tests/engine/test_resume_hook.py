"""Kill trainings and resume them."""

from __future__ import annotations

import os
import random
import re
import signal
import time

import pytest
import torch

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
from tfpose_mm.errors import UserError


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
    outcome = "resumes from the newest complete checkpoint; ends with the bits of an uninterrupted training"
    fault = f"kill -9 at random moments, a third of them while it saves; {workers} workers"
    reliability.row("training", fault, kills, outcome, "the current epoch")


SLOW = pytest.mark.slow


@pytest.mark.parametrize("pointer", [None, pytest.param("", marks=SLOW), pytest.param("work/epoch_9.pth", marks=SLOW)])
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


@pytest.mark.slow
def test_the_file_that_last_checkpoint_names_is_compared(make_runner, tmp_path):
    """It can be in another folder, as with out_dir, and have any name."""
    make_runner(2).train()
    newest = tmp_path / "moved.pth"
    (tmp_path / "work/epoch_2.pth").rename(newest)
    (tmp_path / "work/last_checkpoint").write_text(str(newest))
    make_runner(2, resume=True).train()
    assert f"Resuming from {newest}: epoch 2, iteration 4." in log_of(tmp_path / "work")


@pytest.mark.slow
def test_later_epochs_of_an_earlier_training_are_not_resumed(make_runner, tmp_path):
    """A new training in the same work directory."""
    folder = tmp_path / "work"
    make_runner(3).train()
    make_runner(1).train()
    assert (folder / "epoch_3.pth").is_file()
    make_runner(2, resume=True).train()
    assert f"Resuming from {folder}/epoch_1.pth: epoch 1, iteration 2." in log_of(folder)


@pytest.mark.slow
def test_a_remote_checkpoint_is_not_replaced_by_an_older_local_one(make_runner, tmp_path):
    make_runner(1).train()
    pointer = tmp_path / "work/last_checkpoint"
    pointer.write_text("unknown://bucket/epoch_5.pth")
    with pytest.raises(Exception, match="unknown"):
        make_runner(2, resume=True).train()
    assert pointer.read_text() == "unknown://bucket/epoch_5.pth"


def test_without_a_complete_checkpoint_it_stops(make_runner, tmp_path):
    make_runner(1).train()
    (tmp_path / "work/epoch_1.pth").write_bytes(b"")
    with pytest.raises(UserError, match="must have a complete checkpoint to resume from, but none of its 1 is"):
        make_runner(2, resume=True).train()


def test_without_any_checkpoint_it_starts(make_runner):
    runner = make_runner(1, resume=True)
    runner.train()
    assert runner.epoch == 1


@pytest.mark.slow
def test_a_named_checkpoint_is_taken(make_runner, tmp_path):
    make_runner(2).train()
    first = str(tmp_path / "work/epoch_1.pth")
    runner = make_runner(2, resume=True, load_from=first)
    runner.train()
    assert "resumed epoch: 1, iter: 2" in log_of(tmp_path / "work")


@pytest.mark.slow
def test_a_longer_schedule_is_not_taken_in_silence(make_runner, tmp_path, reliability):
    """MMEngine restores the schedule of the checkpoint; the log says where it ends."""
    make_runner(1).train()
    make_runner(3, resume=True).train()
    expected = (
        r"schedules of its checkpoint \(.*end at iteration 100, 2\), not those of the config \(.*iteration 100, 6\)"
    )
    log = log_of(tmp_path / "work")
    assert re.search(expected, log)
    assert "start a new training with load_from=CHECKPOINT" in log
    make_runner(3, resume=True).train()
    assert "The checkpoint has all 6 iterations of the config: nothing is left to train." in log_of(tmp_path / "work")
    reliability.row("inputs", "resuming with a longer schedule, and a finished training", 1, "a sentence in the log")


@pytest.mark.slow
def test_the_same_schedule_gives_no_warning(make_runner, tmp_path):
    make_runner(2, **{"default_hooks.checkpoint.interval": 1}).train()
    (tmp_path / "work/epoch_2.pth").unlink()
    (tmp_path / "work/last_checkpoint").unlink()
    make_runner(2, resume=True).train()
    log = log_of(tmp_path / "work")
    assert "resumed epoch: 1" in log
    assert "keeps the learning rates and schedules" not in log
    assert "nothing is left" not in log


@pytest.mark.slow
def test_another_learning_rate_is_not_dropped_in_silence(make_runner, tmp_path):
    """MMEngine restores the learning rates of the checkpoint."""
    make_runner(1).train()
    make_runner(1, resume=True, **{"optim_wrapper.optimizer.lr": 0.5}).train()
    log = log_of(tmp_path / "work")
    assert re.search(
        r"keeps the learning rates and schedules of its checkpoint .*, not those of the config .*0\.5", log
    )

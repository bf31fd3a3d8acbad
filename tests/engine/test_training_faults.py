"""A disk that is full, and workers that die, in the course of a training."""

from __future__ import annotations

import errno
import multiprocessing
import os

import pytest
from mmengine.hooks import Hook

from tests.helpers.trainings import EMA, STATEFUL, differences
from tfpose_mm.errors import UserError


class KillWorker(Hook):
    """Kill a worker in the second epoch, as the kernel does when the memory is used up."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1:
            multiprocessing.active_children()[0].kill()


def saved(folder):
    return sorted(path.name for path in folder.glob("epoch*"))


@pytest.mark.slow
def test_a_full_disk_leaves_the_checkpoints_before_it(make_runner, tmp_path, monkeypatch, reliability):
    make_runner(3, "whole", hooks=[EMA], **STATEFUL).train()
    real = os.fsync

    def full(descriptor):
        if "epoch_2.pth" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"MB free for .*epoch_2.pth, but is full .*: free some space"):
            make_runner(3, hooks=[EMA], **STATEFUL).train()
    assert saved(tmp_path / "work") == ["epoch_1.pth"]
    make_runner(3, hooks=[EMA], resume=True, **STATEFUL).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []
    outcome = "one sentence; the older checkpoints are complete; after resuming, the bits of an uninterrupted training"
    reliability.row("training", "the disk is full while a checkpoint is saved", 1, outcome, "the current epoch")


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_training(make_runner, tmp_path, reliability):
    """torch's message names the signal; docs/troubleshooting.md has it."""
    changes = {**STATEFUL, "train_dataloader.num_workers": 2, "train_dataloader.batch_size": 2}
    make_runner(3, "whole", hooks=[EMA], **changes).train()
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid.*\) (is killed by signal|exited)"):
        make_runner(3, hooks=[EMA, KillWorker()], **changes).train()
    assert saved(tmp_path / "work") == ["epoch_1.pth"]
    make_runner(3, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []
    outcome = "the training ends with torch's message; after resuming, the bits of an uninterrupted training"
    reliability.row("training", "a worker of the data loader is killed", 1, outcome, "the current epoch")

"""Send SIGTERM to trainings on the CPU and resume them."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import signal
import time

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.utils import register_all_modules

from tests.helpers.processes import free_port, in_process_config
from tests.helpers.trainings import (
    EMA,
    SHORT,
    STATEFUL,
    differences,
    log_of,
    start_training,
    training_command,
    wait_for_iterations,
)

VALIDATED = {**STATEFUL, "train_cfg.val_interval": 1}


class Terminate(Hook):
    """Send SIGTERM to this process at an iteration of the training, or in a validation."""

    def __init__(self, iteration=None, epoch=None):
        self.iteration, self.epoch = iteration, epoch

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGTERM)


def stop(make_runner, terminate, **changes):
    with pytest.raises(SystemExit) as raised:
        make_runner(3, hooks=[EMA, terminate], **changes).train()
    assert raised.value.code == 143


@pytest.mark.slow
@pytest.mark.parametrize(("iteration", "workers"), [(1, 0), (2, 2), (3, 0), (5, 2)])  # 2 iterations in an epoch
def test_an_epoch_is_continued(make_runner, tmp_path, iteration, workers):
    changes = {**STATEFUL, "train_dataloader.num_workers": workers}
    make_runner(3, "whole", hooks=[EMA], **changes).train()
    stop(make_runner, Terminate(iteration), **changes)
    saved = torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]
    assert (saved["epoch"], saved["iter"]) == ((iteration - 1) // 2, iteration)
    make_runner(3, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []
    log = log_of(tmp_path / "work")
    assert f"SIGTERM: preempted.pth is saved in {tmp_path}/work after iteration {iteration};" in log
    assert f"Resuming from {tmp_path}/work/preempted.pth: epoch {(iteration - 1) // 2}, iteration {iteration}." in log


@pytest.mark.slow
def test_in_a_validation(make_runner, tmp_path):
    """During a validation the model has the averaged weights; the checkpoint has both."""
    make_runner(3, "whole", hooks=[EMA], **VALIDATED).train()
    stop(make_runner, Terminate(epoch=2), **VALIDATED)
    saved = torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]
    assert (saved["epoch"], saved["iter"]) == (2, 4)
    make_runner(3, hooks=[EMA], resume=True, **VALIDATED).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []


@pytest.mark.slow
def test_accumulated_gradients_are_applied_first(make_runner, tmp_path):
    changes = {**STATEFUL, "train_dataloader.batch_size": 2, "optim_wrapper.accumulative_counts": 2}  # 5 iterations
    make_runner(3, "whole", hooks=[EMA], **changes).train()
    stop(make_runner, Terminate(7), **changes)
    assert torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]["iter"] == 8
    make_runner(3, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / "whole/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []


@pytest.mark.slow
def test_a_later_checkpoint_is_preferred(make_runner, tmp_path):
    stop(make_runner, Terminate(3), **STATEFUL)
    make_runner(3, hooks=[EMA], resume=True, **STATEFUL).train()
    runner = make_runner(4, hooks=[EMA], resume=True, **STATEFUL)
    runner.train()
    log = log_of(tmp_path / "work")
    assert f"Resuming from {tmp_path}/work/epoch_3.pth: epoch 3, iteration 6." in log


@pytest.mark.slow
def test_the_handler_is_restored(make_runner):
    before = signal.getsignal(signal.SIGTERM)
    make_runner(1).train()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_sigterm_to_all_processes_of_a_job(make_runner, tmp_path, reliability):
    """A cluster sends the signal to the workers, too."""
    folder, times = tmp_path / "work", reliability.times(long=10, short=1)
    epochs = 3 * times + 3
    changes = {**VALIDATED, "train_dataloader.num_workers": 2, "val_dataloader.num_workers": 1}
    changes["val_dataloader.persistent_workers"] = True
    make_runner(epochs, "whole", hooks=[EMA], **changes).train()
    command = training_command(tmp_path, epochs, **changes)
    for attempt in range(times):
        with start_training(command) as process:
            wait_for_iterations(process, folder)
            time.sleep(0.11 * attempt)
            os.killpg(process.pid, signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 143, errors.decode()[-2000:]
    make_runner(epochs, hooks=[EMA], resume=True, **changes).train()
    assert differences(tmp_path / f"whole/epoch_{epochs}.pth", folder / f"epoch_{epochs}.pth") == []
    outcome = "finishes the iteration, saves, exits with 143; after resuming, the bits of an uninterrupted training"
    reliability.row("training", "SIGTERM to the training and its 2 workers", times, outcome)


def train_in_a_group(rank, port, data, folder):
    register_all_modules()
    os.environ["SYNTHETIC_ROOT"] = str(data)
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, datetime.timedelta(seconds=120), world_size=2, rank=rank)
    cfg = in_process_config(folder, **{**SHORT, "train_cfg.max_epochs": 3, "train_dataloader.batch_size": 2})
    runner = Runner.from_cfg(cfg)
    if rank == 1:
        runner.register_hook(Terminate(4))
    runner.train()


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_same_iteration(people, tmp_path):
    port = free_port()
    context = multiprocessing.get_context("spawn")
    arguments = (port, people, tmp_path / "work")
    processes = [context.Process(target=train_in_a_group, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [143, 143]
    saved = torch.load(tmp_path / "work/preempted.pth", weights_only=True)["meta"]
    assert (saved["epoch"], saved["iter"]) == (1, 4)  # 3 iterations in an epoch

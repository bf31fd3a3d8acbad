"""Send SIGTERM to trainings on the CPU and resume them."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.utils import register_all_modules

from tests.helpers.processes import free_port, in_process_config
from tests.helpers.trainings import EMA, SHORT, STATEFUL, log_of, start_training, training_command, wait_for_iterations
from tfpose_mm.engine.hooks import PreemptionHook


class Terminate(Hook):
    """Send SIGTERM to this process at an iteration of the training."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)


def meta_of(folder):
    saved = torch.load(folder / "preempted.pth", weights_only=True)["meta"]
    return saved["epoch"], saved["iter"]


def test_an_epoch_begins_again_with_its_weights(make_runner, tmp_path):
    """2 iterations in an epoch."""
    folder, before = tmp_path / "work", signal.getsignal(signal.SIGTERM)
    # MMEngine fails after max_iters if gradients are accumulated
    changes = {**STATEFUL, "optim_wrapper.accumulative_counts": 2}
    with pytest.raises(SystemExit) as raised:
        make_runner(3, hooks=[EMA, Terminate(4)], **changes).train()
    assert raised.value.code == 143
    assert meta_of(folder) == (1, 2)
    first, stopped = (torch.load(folder / name, weights_only=True) for name in ("epoch_1.pth", "preempted.pth"))
    assert any(not torch.equal(first["state_dict"][name], value) for name, value in stopped["state_dict"].items())
    expected = "after iteration 4; --resume continues from the beginning of epoch 2, with these weights."
    assert f"SIGTERM: preempted.pth is saved in {folder} {expected}" in log_of(folder)
    signal.signal(signal.SIGTERM, before)
    runner = make_runner(3, hooks=[EMA], resume=True, **changes)
    runner.train()
    assert runner.iter == 6
    assert f"Resuming from {folder}/preempted.pth" in log_of(folder)
    assert "resumed epoch: 1, iter: 2" in log_of(folder)
    assert signal.getsignal(signal.SIGTERM) == before
    make_runner(4, hooks=[EMA], resume=True, **changes).train()
    assert f"Resuming from {folder}/epoch_3.pth: epoch 3, iteration 6." in log_of(folder)


@pytest.mark.slow
def test_a_loop_of_iterations_continues(make_runner, tmp_path):
    with pytest.raises(SystemExit):
        make_runner(2, hooks=[EMA, Terminate(3)], by_epoch=False).train()
    assert meta_of(tmp_path / "work")[1] == 3
    runner = make_runner(2, hooks=[EMA], resume=True, by_epoch=False)
    runner.train()
    assert runner.iter == 4


@pytest.mark.slow
def test_sigterm_to_all_processes_of_a_job(make_runner, tmp_path):
    """A cluster sends the signal to the workers, too."""
    folder, changes = tmp_path / "work", {**STATEFUL, "train_dataloader.num_workers": 2}
    with start_training(training_command(tmp_path, 6, **changes)) as process:
        wait_for_iterations(process, folder)
        time.sleep(0.2)
        os.killpg(process.pid, signal.SIGTERM)
        process.terminate()  # torchrun repeats the signal
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 143, errors.decode()[-2000:]
    runner = make_runner(6, hooks=[EMA], resume=True, **changes)
    runner.train()
    assert runner.iter == 12
    assert f"Resuming from {folder}/preempted.pth" in log_of(folder)


def train_in_a_group(rank, port, data, folder, terminate):
    register_all_modules()
    os.environ["SYNTHETIC_ROOT"] = str(data)
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", address, datetime.timedelta(seconds=120), world_size=2, rank=rank)
    options = {**SHORT, "train_cfg.max_epochs": 3, "train_dataloader.batch_size": 2}
    runner = Runner.from_cfg(in_process_config(folder, **options))
    if rank == 1:
        runner.register_hook(terminate)
    runner.train()


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_after_the_same_iteration(people, tmp_path):
    context, port = multiprocessing.get_context("spawn"), free_port()
    arguments = (port, people, tmp_path / "work", Terminate(4))
    processes = [context.Process(target=train_in_a_group, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [143, 143]
    assert meta_of(tmp_path / "work") == (1, 3)  # 3 iterations in an epoch


def test_forked_processes_obey_the_signal():
    """Also those that a process starts after a training that it stopped: a pool waits for its workers without end."""
    hook, handler = PreemptionHook(), signal.getsignal(signal.SIGTERM)
    hook.before_train(None)
    context = multiprocessing.get_context("fork")
    works = context.Event()  # Python forgets signals that arrive before

    def work():
        works.set()
        time.sleep(60)

    child = context.Process(target=work, daemon=True)
    child.start()
    assert works.wait(20)
    hook.after_train(None)
    child.terminate()
    child.join(20)
    assert child.exitcode == -signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_training_in_another_thread_has_no_handler():
    """Python sets handlers of signals in the main thread only."""
    hook, handler = PreemptionHook(), signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(hook.before_train, None).result()
        pool.submit(hook.after_train, None).result()
    assert signal.getsignal(signal.SIGTERM) is handler

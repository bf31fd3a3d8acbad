"""Train on the CPU, stop between epochs, resume, and compare with a training that was not interrupted."""

from __future__ import annotations

import multiprocessing
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

from tests.helpers.trainings import EMA, STATEFUL, differences, log_of
from tfpose_mm.engine.hooks import init_worker

WORKERS = {0: {}, 2: {"train_dataloader.num_workers": 2}}


class Interrupt(Hook):
    """Fail when the second epoch begins."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise InterruptedError


@pytest.fixture
def whole(make_runner, tmp_path):
    """Train 3 epochs without an interruption."""

    def train(folder="whole", **changes):
        make_runner(3, folder, hooks=[EMA], **STATEFUL, **changes).train()
        return tmp_path / folder / "epoch_3.pth"

    return train


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_two_trainings_give_the_same_bits(whole, reliability, workers):
    first, second = (whole(folder, **WORKERS[workers]) for folder in ("first", "second"))
    assert differences(first, second) == []
    fault = f"the same training twice on a CPU, {workers} workers"
    reliability.row("determinism", fault, 1, "all weights, averages and optimizer states have the same bits")


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "seed"), [(2, 5), (0, None)])
def test_a_resumed_training_gives_the_same_bits(make_runner, whole, tmp_path, workers, seed):
    """Without a seed in the config, the resumed training takes that of the checkpoint."""
    expected = whole(**WORKERS[workers], randomness=dict(seed=5))
    options = {**STATEFUL, **WORKERS[workers]}
    with pytest.raises(InterruptedError):
        make_runner(3, hooks=[EMA, Interrupt()], **options, randomness=dict(seed=5)).train()
    make_runner(3, hooks=[EMA], resume=True, **options, randomness=dict(seed=seed)).train()
    assert differences(expected, tmp_path / "work/epoch_3.pth") == []


@pytest.mark.slow
def test_another_seed_gives_other_weights(whole):
    assert differences(whole("first"), whole("second", randomness=dict(seed=7)))


def test_epochs_have_different_random_numbers(make_runner):
    drawn = []

    runner = make_runner(2)
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == "EpochSeedHook")
    original = hook.before_train_epoch

    def draw(runner):
        original(runner)
        drawn.append((random.random(), np.random.rand(), torch.rand(1).item()))

    hook.before_train_epoch = draw
    runner.train()
    assert len(drawn) == 2
    assert all(first != second for first, second in zip(*drawn))


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.random.rand(), random.random()


def test_workers_draw_other_numbers_in_each_epoch_and_each_worker():
    init = FUNCTIONS.get("init_worker")
    loader = DataLoader(Numbers(), batch_size=2, num_workers=2, worker_init_fn=init)
    torch.manual_seed(1)
    batches = [batch for _ in range(2) for batch in loader]
    values = [value.item() for batch in batches for column in batch for value in column]
    assert len(set(values)) == 16
    torch.manual_seed(1)
    again = [value.item() for _ in range(2) for batch in loader for column in batch for value in column]
    assert again == values


def test_a_worker_ends_only_when_the_main_process_asks():
    loader = DataLoader(Numbers(), batch_size=1, num_workers=1, worker_init_fn=FUNCTIONS.get("init_worker"))
    others = multiprocessing.active_children()
    batches = iter(loader)
    next(batches)
    (worker,) = set(multiprocessing.active_children()).difference(others)
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    worker.join(0.5)
    assert worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_without_sigtimedwait_a_worker_is_only_seeded(monkeypatch):
    """macOS and Windows."""
    monkeypatch.delattr(signal, "sigtimedwait")
    threads = threading.active_count()
    torch.manual_seed(3)
    drawn = []
    for _ in range(2):
        init_worker(0)
        drawn.append((np.random.rand(), random.random()))
    assert drawn[0] == drawn[1]
    assert threading.active_count() == threads
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.slow
def test_persistent_workers_are_reported(make_runner, tmp_path):
    make_runner(1, **WORKERS[2], **{"train_dataloader.persistent_workers": True}).train()
    expected = "train_dataloader has persistent_workers=True: after resuming, the augmentations differ"
    assert expected in log_of(tmp_path / "work")


KILLED = """
import os, sys, torch
from torch.utils.data import DataLoader, Dataset
from tfpose_mm.engine.hooks import init_worker
class Numbers(Dataset):
    def __len__(self): return 10_000
    def __getitem__(self, index): return torch.zeros(100_000)
batches = iter(DataLoader(Numbers(), batch_size=2, num_workers=2, worker_init_fn=init_worker))
next(batches)
print(*(worker.pid for worker in batches._workers), flush=True)
sys.stdin.read()
"""


def test_workers_end_when_the_main_process_is_killed(reliability):
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    workers = [int(number) for number in process.stdout.readline().split()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    deadline = time.monotonic() + 15
    while any(map(_is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(_is_alive, workers))
    reliability.row("inputs", "kill -9 of a training with 2 workers", 1, "its workers end within 15 s", "the epoch")


def _is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

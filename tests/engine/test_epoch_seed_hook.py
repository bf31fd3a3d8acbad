"""Train on the CPU, stop between epochs, resume, and compare with a training that was not interrupted."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader

from tests.helpers.trainings import EMA, STATEFUL, differences
from tfpose_mm.engine import hooks
from tfpose_mm.engine.hooks import EpochSeedHook


class Interrupt(Hook):
    """Fail when the second epoch begins."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            raise InterruptedError


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "seed"), [(2, 5), (0, None)])
def test_trainings_give_the_same_bits(make_runner, tmp_path, workers, seed, reliability):
    """Twice the same, and resumed; without a seed in the config, the resumed training takes that of the checkpoint."""
    options = {**STATEFUL, "train_dataloader.num_workers": workers}
    for folder in ("first", "second"):
        make_runner(3, folder, hooks=[EMA], **options, randomness=dict(seed=5)).train()
    assert differences(tmp_path / "first/epoch_3.pth", tmp_path / "second/epoch_3.pth") == []
    with pytest.raises(InterruptedError):
        make_runner(3, hooks=[EMA, Interrupt()], **options, randomness=dict(seed=5)).train()
    make_runner(3, hooks=[EMA], resume=True, **options, randomness=dict(seed=seed)).train()
    assert differences(tmp_path / "first/epoch_3.pth", tmp_path / "work/epoch_3.pth") == []
    fault = f"the same training twice on a CPU, {workers} workers"
    reliability.row("determinism", fault, 1, "all weights, averages and optimizer states have the same bits")


def test_epochs_seeds_and_ranks_have_different_random_numbers(monkeypatch):
    drawn = []
    for seed, epoch, rank in itertools.product(range(2), repeat=3):
        monkeypatch.setattr(hooks, "get_rank", lambda rank=rank: rank)
        EpochSeedHook().before_train_epoch(SimpleNamespace(seed=seed, epoch=epoch))
        drawn += [random.random(), np.random.rand(), torch.rand(1).item()]
    assert len(set(drawn)) == 3 * 8


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.random.rand(), random.random()


def test_workers_draw_other_numbers_in_each_epoch_and_each_worker():
    loader = DataLoader(Numbers(), batch_size=2, num_workers=2, worker_init_fn=FUNCTIONS.get("init_worker"))
    values = []
    for _ in range(2):
        torch.manual_seed(1)
        batches = [batch for _ in range(2) for batch in loader]
        values.append([value.item() for batch in batches for column in batch for value in column])
    assert len(set(values[0])) == 16
    assert values[0] == values[1]


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


KILLED = """
import sys, torch
from torch.utils.data import DataLoader, Dataset
from tfpose_mm.engine.hooks import init_worker
class Numbers(Dataset):
    def __len__(self): return 10_000
    def __getitem__(self, index): return torch.zeros(100_000)
batches = iter(DataLoader(Numbers(), batch_size=2, num_workers=2, worker_init_fn=init_worker))
next(batches)
print(all(worker.is_alive() for worker in batches._workers), flush=True)
sys.stdin.read()
"""


def test_workers_end_when_the_main_process_is_killed(reliability):
    command = [sys.executable, "-W", "ignore", "-c", KILLED]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "True\n"
    process.kill()
    process.communicate(timeout=15)  # the output ends with the last worker
    reliability.row("inputs", "kill -9 of a training with 2 workers", 1, "its workers end within 15 s", "the epoch")


def test_the_sampler_has_the_seed_of_the_training_but_the_same_on_all_ranks():
    for randomness, expected in ((dict(seed=5), 5), (dict(seed=5, diff_rank_seed=True), 3)):
        sampler = SimpleNamespace(seed=3)
        runner = SimpleNamespace(cfg=dict(randomness=randomness), seed=5)
        runner.train_dataloader = SimpleNamespace(sampler=sampler)
        EpochSeedHook().before_train(runner)
        assert sampler.seed == expected

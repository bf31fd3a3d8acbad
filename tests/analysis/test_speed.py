from __future__ import annotations

import copy
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from tests.helpers.models import build, tiny_model_cfg
from tests.helpers.paths import TINY
from tfpose_mm.analysis import (
    matmul_rate,
    measure_memory,
    speed,
    summarise,
    time_functions,
    time_parts,
    time_training,
)


class Sleeper(nn.Module):
    """A part that takes a known time, and says when it ran."""

    def __init__(self, name, seconds, log):
        super().__init__()
        self.name, self.seconds, self.log = name, seconds, log

    def forward(self, value):
        time.sleep(self.seconds)
        self.log.append((self.name, len(value)))
        return value


class Sleepers(nn.Module):
    def __init__(self, name, log, neck=True):
        super().__init__()
        self.backbone = Sleeper(f"{name}.backbone", 0.01, log)
        if neck:
            self.neck = Sleeper(f"{name}.neck", 0.02, log)
        self.head = Sleeper(f"{name}.head", 0.03, log)


def test_parts_are_timed_in_turns_after_a_round_that_is_not():
    log = []
    models = [Sleepers("a", log), Sleepers("b", log, neck=False)]
    first, second = time_parts(models, [(5, 7), (6, 4)], batch=3, repeats=2, device="cpu")
    one_round = ["a.backbone", "a.neck", "a.head", "b.backbone", "b.head"]
    assert [name for name, _ in log] == one_round * 3
    assert {batch for _, batch in log} == {3}
    for part, seconds in (("backbone", 0.01), ("neck", 0.02), ("head", 0.03), ("total", 0.06)):
        assert seconds <= first[part].low <= first[part].median <= first[part].high < seconds + 0.05
    assert "neck" not in second
    assert second["total"].median >= 0.04


def test_quartiles():
    assert summarise([5.0, 1.0, 2.0, 3.0, 4.0])[:3] == (3.0, 2.0, 4.0)


def test_a_ratio_is_one_of_rounds_beside_each_other():
    """A machine that slows down by ten after the first round does not change it."""
    slow, fast = summarise([2.0, 20.0, 22.0]), summarise([1.0, 10.0, 11.0])
    assert slow.ratio(fast) == 2.0


def test_functions_are_timed_in_turns():
    log = []
    first, second = time_functions([lambda: log.append("a"), lambda: log.append("b")], repeats=3, device="cpu")
    assert log == ["a", "b"] * 4
    assert len(first.rounds) == len(second.rounds) == 3


def test_the_rate_of_products_is_that_of_the_fastest(monkeypatch):
    clock = [summarise([4.0, 3.0, 8.0]), summarise([9.0, 2.0, 5.0])]
    monkeypatch.setattr(speed, "time_functions", lambda functions, repeats, device: clock[: len(functions)])
    assert matmul_rate("cpu", size=100) == pytest.approx(100**3 / 3.0 / 1e9)
    assert matmul_rate("cpu", size=100, layers=(nn.Linear, nn.Linear)) == pytest.approx(100**3 / 2.0 / 1e9)


def test_milliseconds_with_quartiles():
    assert summarise([0.005, 0.001, 0.002, 0.003, 0.004]).in_ms() == "3 (2-4)"
    assert summarise([0.0211]).in_ms(1) == "21.1 (21.1-21.1)"


def test_real_models_have_their_parts():
    models = [build(tiny_model_cfg()).eval(), build(tiny_model_cfg(aux_branch=False)).eval()]
    for timings in time_parts(models, [(128, 96)] * 2, batch=3, repeats=2, device="cpu"):
        assert set(timings) == {"backbone", "neck", "head", "total"}
        assert all(timing.median > 0 for timing in timings.values())


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_training_steps_are_timed_and_train(monkeypatch, precision):
    logged = []
    monkeypatch.setattr(MMLogger, "callHandlers", lambda self, record: logged.append(record.getMessage()))
    cfg = Config.fromfile(str(TINY))
    before = build(cfg.model)
    models = [copy.deepcopy(before)]
    monkeypatch.setattr(speed.MODELS, "build", lambda cfg: models[-1])
    (timing,) = time_training([cfg], batch=3, repeats=2, device="cpu", precision=precision)
    assert len(timing.rounds) == 2
    assert not [line for line in logged if "paramwise_options" in line]  # three for each parameter
    changed = [not torch.equal(a, b) for a, b in zip(models[-1].parameters(), before.parameters())]
    assert sum(changed) > len(changed) / 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_synchronised_and_its_memory_measured():
    models = [build(tiny_model_cfg()).eval().cuda()]
    (timings,) = time_parts(models, [(128, 96)], batch=3, repeats=3, device="cuda:0")
    assert all(timing.median > 0 for timing in timings.values())
    memory = measure_memory(Config.fromfile(str(TINY)), 4, "cuda:0")
    assert 0 < memory.inference < memory.training

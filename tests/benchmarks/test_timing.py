from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from benchmarks.timing import matmul_rate, ratio_of, time_functions, time_training
from tests.helpers.paths import TINY
from tfpose_mm.comparison.latency import summarise


def test_a_ratio_is_one_of_rounds_beside_each_other():
    """The ratio does not change if the machine becomes ten times slower after the first round."""
    slow, fast = summarise([2.0, 20.0, 22.0]), summarise([1.0, 10.0, 11.0])
    assert ratio_of(slow, fast) == 2.0


def test_functions_are_timed_in_turns():
    log = []
    first, second = time_functions([lambda: log.append("a"), lambda: log.append("b")], repeats=3, device="cpu")
    assert log == ["a", "b"] * 4
    assert len(first.rounds) == len(second.rounds) == 3
    assert 0.01 < matmul_rate("cpu", size=200, repeats=2) < 1e5  # GMACs/s


def test_training_iterations_are_timed_in_silence(monkeypatch):
    logged = []
    monkeypatch.setattr(MMLogger, "callHandlers", lambda self, record: logged.append(record.getMessage()))
    cfg = Config.fromfile(str(TINY))
    (timing,) = time_training([cfg], batch=3, repeats=2, device="cpu", precision=torch.bfloat16)
    assert len(timing.rounds) == 2
    assert timing.low > 0
    assert not [line for line in logged if "paramwise_options" in line]  # three lines for each parameter

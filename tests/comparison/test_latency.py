from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from tests.helpers.models import build, tiny_model_cfg
from tests.helpers.paths import ROOT, TINY
from tfpose_mm.comparison.latency import summarise, time_parts
from tfpose_mm.comparison.memory import measure_memory


class Sleeper(nn.Module):
    """A part that takes at least a known time and records its runs."""

    def __init__(self, name, seconds, log):
        super().__init__()
        self.name, self.seconds, self.log = name, seconds, log

    def forward(self, value):
        time.sleep(self.seconds)
        self.log.append((self.name, len(value)))
        return value


def test_parts_are_timed_in_turns_after_a_round_of_warm_up():
    def model(name, **parts):
        return SimpleNamespace(**{part: Sleeper(f"{name}.{part}", seconds, log) for part, seconds in parts.items()})

    log = []
    models = [model("a", backbone=0.01, neck=0.02, head=0.03), model("b", backbone=0.01, head=0.03)]
    first, second = time_parts(models, [(5, 7), (6, 4)], batch=3, repeats=2, device="cpu")
    one_round = ["a.backbone", "a.neck", "a.head", "b.backbone", "b.head"]
    assert [name for name, _ in log] == one_round * 3
    assert len(first["total"].rounds) == 2
    assert {batch for _, batch in log} == {3}
    for part, seconds in (("backbone", 0.01), ("neck", 0.02), ("head", 0.03), ("total", 0.06)):
        assert seconds <= first[part].low <= first[part].median <= first[part].high
    assert "neck" not in second
    assert second["total"].median >= 0.04


def test_quartiles():
    timing = summarise([0.005, 0.001, 0.002, 0.003, 0.004])
    assert timing[:3] == (0.003, 0.002, 0.004)
    assert (timing.in_ms(), summarise([0.0211]).in_ms(1)) == ("3 (2-4)", "21.1 (21.1-21.1)")


@pytest.mark.slow
def test_memory_grows_with_the_batch_and_with_training():
    cfg = Config.fromfile(str(TINY))
    small, large = (measure_memory(cfg, batch, "cpu") for batch in (2, 16))
    assert 0 < small.inference < small.training
    assert large.training > 2 * small.training
    activations = 16 * 3 * 128 * 96 * 4 / 2**20
    assert activations < large.inference < large.training < 4000
    own_imports = Config.fromfile(str(ROOT / "projects/poseur/configs/poseur_small_lspet_128x96.py"))
    assert measure_memory(own_imports, 1, "cpu").inference > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_synchronised_and_its_memory_measured():
    models = [build(tiny_model_cfg()).eval().cuda()]
    (timings,) = time_parts(models, [(128, 96)], batch=3, repeats=3, device="cuda:0")
    assert all(timing.median > 0 for timing in timings.values())
    memory = measure_memory(Config.fromfile(str(TINY)), 4, "cuda:0")
    assert 0 < memory.inference < memory.training

from __future__ import annotations

import pytest
from mmengine.config import Config

from tests.helpers.paths import TINY
from tfpose_mm.comparison.memory import measure_memory


@pytest.mark.slow
def test_memory_grows_with_the_batch_and_with_training():
    cfg = Config.fromfile(str(TINY))
    small, large = (measure_memory(cfg, batch, "cpu") for batch in (2, 16))
    assert 0 < small.inference < small.training
    assert large.training > 2 * small.training
    activations = 16 * 3 * 128 * 96 * 4 / 2**20
    assert activations < large.inference < large.training < 4000

from __future__ import annotations

import pytest
import torch
from mmpose.registry import MODELS

from tests.helpers.paths import TINY
from tfpose_mm.analysis.metrics_table import evaluate
from tfpose_mm.engine.running import read_config
from tfpose_mm.errors import UserError


@pytest.mark.slow
def test_a_config_without_metrics_is_refused_and_leaves_no_report(people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    loader = "test_dataloader"
    options = {f"{loader}.num_workers": 0, f"{loader}.persistent_workers": False}
    cfg = read_config(TINY, options)
    cfg.test_evaluator = []
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / "first.pth")
    with pytest.raises(UserError, match="needs at least one metric, but computes none"):
        evaluate(cfg, str(tmp_path / "first.pth"), tmp_path / "report")
    assert not (tmp_path / "report/metrics.json").exists()

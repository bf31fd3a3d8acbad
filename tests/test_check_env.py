from __future__ import annotations

import pytest
import torch

from tfpose_mm import check_env, ops

ATTENTION = "attention         cpu: grid_sample, largest difference from the reference"


def test_a_working_installation_and_wrong_attention(monkeypatch):
    report = check_env.check_env()
    assert report.exit_status == 0
    for words in ("mmcv._ext         loads", ATTENTION, "(agrees)"):
        assert words in str(report)
    assert str(report).strip().endswith("tfpose_mm works here.")
    right = ops.multi_scale_deformable_attention
    monkeypatch.setattr(ops, "multi_scale_deformable_attention", lambda *arguments: right(*arguments) + 1e-3)
    report = check_env.check_env()
    assert report.exit_status == 1
    assert "DISAGREES" in str(report)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CUDA device of this machine works")
def test_a_device_that_fails_is_reported(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # a device that does not exist
    report = check_env.check_env()
    assert report.exit_status == 1
    for words in (ATTENTION, "attention         cuda:0:", "FAILS", "CUDA_VISIBLE_DEVICES="):
        assert words in str(report)

from __future__ import annotations

import pytest
import torch

from tfpose_mm import check_env, ops


def test_a_working_installation():
    report = check_env.check_env()
    assert report.exit_status == 0
    report = str(report)
    assert "mmcv._ext         loads" in report
    assert "attention         cpu: grid_sample, largest difference from the reference" in report
    assert "agrees" in report
    assert report.strip().endswith("tfpose_mm works here.")


def test_wrong_attention_is_found(monkeypatch):
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
    report = str(report)
    assert "attention         cpu: grid_sample, largest difference" in report
    assert "attention         cuda:0:" in report
    assert "FAILS" in report
    assert "CUDA_VISIBLE_DEVICES=" in report

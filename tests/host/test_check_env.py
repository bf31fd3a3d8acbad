from __future__ import annotations

import pytest
import torch

from tests.helpers.paths import ROOT
from tfpose_mm import ops
from tfpose_mm.host import check_env


def test_a_working_installation(capsys):
    assert check_env.main() == 0
    report = capsys.readouterr().out
    assert "mmcv._ext         loads" in report
    assert "attention         cpu: gather, largest difference from the reference" in report
    assert "agrees" in report
    assert report.strip().endswith("tfpose_mm works here.")


def test_wrong_attention_is_found(monkeypatch, capsys):
    right = ops.multi_scale_deformable_attention
    monkeypatch.setattr(ops, "multi_scale_deformable_attention", lambda *arguments: right(*arguments) + 1e-3)
    assert check_env.main() == 1
    assert "DISAGREES" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="the CUDA device of this machine works")
def test_a_device_that_fails_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # a device that does not exist
    assert check_env.main() == 1
    report = capsys.readouterr().out
    assert "attention         cpu: gather, largest difference" in report
    assert "attention         cuda:0:" in report
    assert "FAILS" in report
    assert "CUDA_VISIBLE_DEVICES=" in report


def test_the_readme_names_the_command():
    assert "python -m tfpose_mm.host.check_env" in (ROOT / "README.md").read_text(encoding="utf-8")

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from tests.helpers.paths import ROOT, TINY
from tests.helpers.processes import NO_WORKERS, start, succeed
from tfpose_mm.comparison.table import Comparison, compare_models
from tfpose_mm.config_files import read_config
from tfpose_mm.errors import UserError

PEER = ROOT / "benchmarks/configs/deeppose_small_lspet_128x96.py"


@pytest.mark.slow
def test_one_table_of_models_with_and_without_accuracy(people, tmp_path):
    model = MODELS.build(Config.fromfile(str(TINY)).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "tiny.pth")
    # the script: processes that it spawns see its name, and do not register when they import the package
    tool = [Path(sys.executable).with_name("tfpose"), "compare", TINY, PEER]
    options = ["--checkpoints", "tiny.pth", "none", "--repeats", 2, "--batch-size", 3, "--out", "out"]
    process = start(*tool, *options, "--cfg-options", *NO_WORKERS, cwd=tmp_path, SYNTHETIC_ROOT=people)
    succeed(process)
    tfpose, deeppose = json.loads((tmp_path / "out/comparison.json").read_text())
    assert (tfpose["model"], deeppose["model"]) == (TINY.stem, PEER.stem)
    assert "coco/AP" not in deeppose
    assert 0 <= tfpose["coco/AP"] <= 1
    assert tfpose["gflops"] == pytest.approx(0.0548, abs=0.001)
    assert tfpose["batch_size"] == 3
    assert f"{tfpose['latency_ms']:.1f} (" in process.stdout
    assert "| coco/AP |" in process.stdout


def test_a_table_without_accuracy_has_no_column_for_it():
    row = dict(model="a", params_millions=1.0, gflops=0.0548, latency_ms=3.0, latency_low_ms=2.0, latency_high_ms=4.0)
    row.update(backbone_ms=1.0, neck_ms=None, head_ms=2.0, images_per_second=100.0, batch_size=8, device="a machine")
    row.update(memory_inference_mib=10.0, memory_training_mib=20.0)
    machine, _, header, _, line = str(Comparison([row])).splitlines()
    assert machine.startswith("On a machine; medians")
    assert "AP" not in header
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["a", "1.00", "0.0548", "3.0 (2.0..4.0)", "1.0 + - + 2.0", "100.0 (8)", "10 (8)", "20 (8)"]


def test_mistakes_are_refused_before_anything_is_timed(tmp_path):
    for arguments, message in (
        (dict(checkpoints=["a", "b"]), "needs one for each of the 1 configs"),
        (dict(checkpoints=["nowhere.pth"]), "The checkpoint nowhere.pth does not exist"),
        (dict(device="0"), "The device must be cpu or a GPU"),
    ):
        with pytest.raises(UserError, match=message):
            compare_models([read_config(TINY)], **arguments, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()

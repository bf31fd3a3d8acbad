from __future__ import annotations

import cv2
import pytest

from benchmarks import export_speed
from benchmarks.export_speed import BOUNDS, Candidate, draw, find_misses, format_table, write_page
from benchmarks.speed_models import BASELINE, peer, tfpose
from tfpose_mm.comparison.latency import summarise

MODELS = [BASELINE, *BOUNDS]


def timings(ratios):
    """Candidates of all models in two engines and torch, with times in units of SimpleBaseline's."""
    found, measured = [], []
    for model in MODELS:
        for engine, factor in (("ONNX Runtime", 2), ("OpenVINO", 1), ("OpenVINO, bfloat16", 0.5), ("torch", 2)):
            found.append(Candidate(model, engine, None))
            measured.append(summarise([0.05 * factor * ratios[model] * noise for noise in (1, 1.1, 0.9)]))
    return found, {1: measured, 8: measured}


def test_ratios_are_to_the_fastest_float32_baseline_and_missed_bounds_are_named(tmp_path):
    found, by_batch = timings(dict(zip(MODELS, (1, 1.1, 1.4, 1.7))))
    lines = format_table(found, by_batch)
    row = next(line for line in lines if "N_E 4 | OpenVINO |" in " ".join(line.split()))
    assert [cell.strip() for cell in row.split("|")][3:7] == ["70 (66-74)", "1.40", "70 (66-74)", "1.40"]
    assert find_misses(found, by_batch) == []
    draw(found, by_batch, tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
    found, by_batch = timings(dict(zip(MODELS, (1, 1.3, 1.4, 2))))
    assert find_misses(found, by_batch)[:2] == [
        "TFPose R50, N_E 0, batch 1: 1.30 times SimpleBaseline, but should be 1.2",
        "TFPose R50, N_E 6, batch 1: 2.00 times SimpleBaseline, but should be 1.8",
    ]
    slow = [item._replace(engine="torch" if item.engine == "OpenVINO" else item.engine) for item in found]
    assert "slower than in torch" in find_misses(slow, by_batch)[1]


@pytest.mark.slow
def test_small_models_are_measured(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    size = (96, 128)
    monkeypatch.setattr(export_speed, "BOUNDS", {"TFPose R50, N_E 1": 99.0})
    cfgs = {BASELINE: peer(BASELINE, size), "TFPose R50, N_E 1": tfpose(size, 1)}
    for cfg in cfgs.values():
        cfg.model.backbone.depth = 18
    cfgs[BASELINE].model.head.in_channels = 512
    cfgs["TFPose R50, N_E 1"].model.neck.in_channels = [128, 256, 512]
    write_page(tmp_path, cfgs, size, {1: 2, 3: 2}, threads=1)
    assert "N_E 1" in (tmp_path / "export_speed.md").read_text()
    assert cv2.imread(str(tmp_path / "export_speed.png")).shape[1] > 1000

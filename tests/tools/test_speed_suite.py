from __future__ import annotations

import sys

import cv2
import pytest
import torch

from tfpose_mm.analysis import Memory, count, summarise
from tfpose_mm.analysis.attention_speed import AttentionSpeed
from tfpose_mm.tools import benchmark, speed_suite
from tfpose_mm.tools.speed_models import BASELINE, build, everyone, peer, spared, tfpose
from tfpose_mm.tools.speed_suite import Budget, Page, write_speed_page
from tfpose_mm.visualization import Growth

TINY = Budget(sizes=((96, 128),), batches=(1, 2), repeats=(2, 2), training_batch=2)


@pytest.mark.parametrize("layers", [0, 4])
def test_models_are_those_of_the_paper_s_tables(layers):
    """Without an encoder 1.12 times SimpleBaseline's multiply-adds, with four layers 1.41."""
    baseline = count(build(peer(BASELINE, (192, 256)), "cpu"), (256, 192)).gflops
    assert baseline == pytest.approx(5.45, abs=0.01)
    ratio = count(build(tfpose((192, 256), layers), "cpu"), (256, 192)).gflops / baseline
    assert ratio == pytest.approx({0: 1.12, 4: 1.41}[layers], abs=0.01)


def test_everyone_predicts_from_any_crop_and_for_any_number_of_keypoints():
    for name, cfg in everyone((96, 128)).items():
        with torch.inference_mode():
            model = build(cfg, "cpu")
            output = model.head.forward(model.extract_feat(torch.randn(1, 3, 128, 96)))
        assert (output[0] if isinstance(output, tuple) else output).shape[:2] == (1, 17), name
    assert build(peer("RTMPose-m", (96, 128), joints=133), "cpu").head.out_channels == 133
    assert build(tfpose((96, 128), 1, joints=133), "cpu").head.num_joints == 133


def test_a_missed_bound_is_named_and_one_that_holds_is_not(tmp_path, capsys):
    page = Page(tmp_path / "page.md", ["# Head", ""])
    assert page.judge("a", 1.4, True, "<= 1.5") == "1.40 (<= 1.5)"
    assert page.judge("b", 1.6, False, "<= 1.5") == "1.60 (<= 1.5, MISSED)"
    assert page.missed == ["b: 1.60, but must be <= 1.5"]
    page.add("Section", "Text.", [["model", "ratio"], ["a", "1.40"]])
    text = page.path.read_text()
    assert text.startswith(
        "# Head\n\n**Missed**: b: 1.60, but must be <= 1.5.\n**Not finished.**\n\n## Section\n\nText.\n"
    )
    assert "| a     | 1.40  |" in text
    assert "| a     | 1.40  |" in capsys.readouterr().out
    page.finish()
    assert "1.5.\n\n## Section" in page.path.read_text()
    page.missed.clear()
    page.finish()
    assert "All bounds hold in this run.\n\n## Section" in page.path.read_text()


@pytest.mark.parametrize(("layers", "tokens", "joints"), [(0, 1020, 17), (1, 252, 17), (1, 252, 133)])
def test_what_the_decoder_spares_is_not_called_done(layers, tokens, joints):
    """Six layers of 256 channels, whose 17 queries are projected, not all tokens of a 128x96 crop; 133 are too many."""
    model = build(tfpose((96, 128), layers, joints), "cpu")
    expected = 6 * (tokens - joints) * 256**2 / 1e9 if joints == 17 else 0
    assert spared(model, (96, 128)) == pytest.approx(expected)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert spared(build(peer(BASELINE, (96, 128)), "cpu"), (96, 128)) == 0


def test_bounds_are_of_models_that_are_measured():
    assert set(speed_suite.BOUNDS) | {BASELINE} <= set(everyone((192, 256)))


def test_a_model_that_is_too_slow_is_named(monkeypatch, tmp_path):
    """Stubbed clocks: twice as slow as SimpleBaseline is too slow for each bound, and no other model has one."""

    def clock(models, shapes, batch, *rest):
        return [{"total": summarise([2.0] if hasattr(m.head, "transformer_decoder") else [1.0])} for m in models]

    monkeypatch.setattr(speed_suite, "time_parts", clock)
    monkeypatch.setattr(speed_suite, "measure_memory", lambda *arguments: Memory(1.0, 2.0))
    page = Page(tmp_path / "page.md")
    speed_suite.models_section(page, (192, 256), Budget(batches=(1, 8), repeats=(1, 1)), "cpu", "float32")
    assert len(page.missed) == 6
    assert page.missed[0] == "TFPose R50, N_E 0, batch 1, x SimpleBaseline R50: 2.00, but must be <= 1.2"


@pytest.mark.parametrize(("gain", "missed"), [(2.1, 0), (1.6, 4), (1.4, 8)])
def test_attention_that_is_too_slow_is_named(monkeypatch, tmp_path, gain, missed):
    """Stubbed clocks: of 2 batch sizes and 2 numbers of queries, forward must gain 2 and training 1.5."""
    pair = (summarise([1.0]), summarise([gain]))
    monkeypatch.setattr(
        speed_suite, "time_attention", lambda core, batch, queries, *rest: AttentionSpeed(batch, queries, pair, pair, 0)
    )
    page = Page(tmp_path / "page.md")
    speed_suite.attention_section(page, "cpu", 1)
    assert len(page.missed) == missed
    if missed:
        assert page.missed[0].startswith(f"attention, batch 1, 1008 queries, forward, speed-up: {gain:.2f}, but must")


def test_a_pass_that_waits_for_the_gpu_is_named(monkeypatch, tmp_path):
    def waits(model, images):
        raise RuntimeError("called a synchronizing CUDA operation")

    monkeypatch.setattr(speed_suite, "kernel_launches", waits)
    monkeypatch.setattr(speed_suite, "build", lambda cfg, device: build(cfg, "cpu"))
    monkeypatch.setattr(torch, "randn", lambda *shape, device=None, f=torch.randn: f(*shape))
    page = Page(tmp_path / "page.md")
    speed_suite.kernel_section(page, "cuda:0")
    assert len(page.missed) == 3
    assert "bfloat16 does not run without waiting: called a synchronizing" in page.missed[2]


@pytest.mark.slow
def test_the_page_has_a_section_for_each_part(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_suite, "everyone", lambda size: {BASELINE: peer(BASELINE, size), "T": tfpose(size, 1)})
    monkeypatch.setattr(speed_suite, "time_attention", _small(speed_suite.time_attention))
    monkeypatch.setattr(speed_suite, "growth", lambda device, repeats: [Growth("batch", ["1", "2"], {"a": [1, 2]})])
    out = tmp_path / "new"
    write_speed_page(out, "cpu", TINY)
    page = (out / "speed.md").read_text()
    assert f"--suite speed --out {out}" in page
    assert cv2.imread(str(out / "speed.png")) is not None
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Speed",
        "## 128x96, float32",
        "## Deformable attention",
        "## Training at 128x96",
        "## Growth",
    ]
    baseline = [line for line in page.splitlines() if line.startswith(f"| {BASELINE}")]
    assert len(baseline) == 2
    assert all("1.00" in line for line in baseline)


@pytest.mark.slow
def test_growth_is_measured_and_drawn(tmp_path, monkeypatch):
    small = {"tfpose": tfpose((96, 128), 1), "peer": peer(BASELINE, (96, 128))}
    seen = []

    def note(kind):
        return lambda *arguments: seen.append((kind, *arguments)) or small[kind]

    monkeypatch.setattr(speed_suite, "tfpose", note("tfpose"))
    monkeypatch.setattr(speed_suite, "peer", note("peer"))
    panels = speed_suite.growth("cpu", 1)
    assert [panel.label for panel in panels] == ["batch", "crop, w x h", "keypoints K", "encoder layers N_E"]
    assert all(len(times) == len(panel.ticks) for panel in panels for times in panel.latencies.values())
    assert ("tfpose", (192, 256), 6, 133) in seen
    assert ("peer", BASELINE, (384, 512), 17) in seen
    speed_suite.draw_growth(panels, tmp_path / "speed.png")
    assert cv2.imread(str(tmp_path / "speed.png")).shape[1] > 1000


@pytest.mark.parametrize(("missed", "status"), [([], 0), (["a: 2.00, but must be <= 1"], 1)])
def test_the_exit_status_says_whether_bounds_hold(monkeypatch, capsys, tmp_path, missed, status):
    monkeypatch.setattr(benchmark, "write_speed_page", lambda out, device: missed)
    monkeypatch.setattr(sys, "argv", ["benchmark", "--suite", "speed", "--out", str(tmp_path)])
    assert benchmark.main() == status
    assert ("missed: a: 2.00" in capsys.readouterr().out) == bool(missed)


def test_the_suite_takes_no_configs(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark"])
    with pytest.raises(ValueError, match="needs configs or --suite speed"):
        benchmark.main()
    monkeypatch.setattr(sys, "argv", ["benchmark", "--suite", "speed", "--repeats", "50"])
    with pytest.raises(ValueError, match="measures the same everywhere"):
        benchmark.main()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_kernel_runs_in_each_precision_and_nothing_waits(tmp_path):
    page = Page(tmp_path / "page.md")
    speed_suite.kernel_section(page, "cuda:0")
    assert page.missed == []
    assert [line.split("|")[2].strip() for line in page.lines[-4:-1]] == ["12", "12", "12"]


def _small(function):
    return lambda core, batch, queries, *rest: function(core, batch, min(queries, 50), *rest)

from __future__ import annotations

import cv2
import pytest
import torch

from benchmarks import speed_suite
from benchmarks.growth_plot import draw_growth
from benchmarks.speed_models import BASELINE, all_models, build, peer, tfpose
from benchmarks.speed_suite import Budget, Page, write_speed_page
from tests.helpers.models import tiny_model_cfg
from tfpose_mm.comparison.complexity import count_complexity
from tfpose_mm.comparison.latency import summarise
from tfpose_mm.comparison.memory import Memory


@pytest.mark.slow
def test_models_are_those_of_the_paper_s_tables():
    """1.12 times SimpleBaseline's MACs without an encoder, 1.41 times with four; each predicts at other sizes."""
    costs = [count_complexity(build(cfg, "cpu"), (256, 192)).gflops for cfg in (
        peer(BASELINE, (192, 256)), tfpose((192, 256), 0), tfpose((192, 256), 4))]  # fmt: skip
    assert costs[0] == pytest.approx(5.45, abs=0.01)
    assert [cost / costs[0] for cost in costs[1:]] == pytest.approx([1.12, 1.41], abs=0.01)
    for name, cfg in all_models((96, 128)).items():
        with torch.inference_mode():
            model = build(cfg, "cpu")
            output = model.head.forward(model.extract_feat(torch.randn(1, 3, 128, 96)))
        assert (output[0] if isinstance(output, tuple) else output).shape[:2] == (1, 17), name
    assert build(peer("RTMPose-m", (96, 128), joints=133), "cpu").head.out_channels == 133
    assert build(tfpose((96, 128), 1, joints=133), "cpu").head.num_joints == 133


def test_a_missed_bound_is_named_and_one_that_holds_is_not(tmp_path):
    page = Page(tmp_path / "page.md", ["# Head", ""])
    assert page.judge("a", 2.4, True, ">= 2") == "2.40 (>= 2)"
    assert page.judge("b", 1.6, False, ">= 2") == "1.60 (>= 2, MISSED)"
    page.add("Section", "Text.", [["model", "ratio"], ["a", "1.40"]])
    text = page.path.read_text()
    missed = "**Missed**: b: 1.60, but must be >= 2.\n**Not finished.**"
    assert text.startswith(f"# Head\n\n{missed}\n\n## Section\n\nText.\n")
    assert "| a     | 1.40  |" in text
    page.missed.clear()
    page.finish()
    assert "All bounds hold in this run.\n\n## Section" in page.path.read_text()


def small_models(size):
    """A model that runs in milliseconds, in place of those of the suite."""
    cfg, small = tfpose(size, 1), tiny_model_cfg(17)
    cfg.model.update(backbone=small["backbone"], neck=small["neck"], head=dict(small["head"], decoder=cfg.codec))
    return {BASELINE: cfg, "TFPose": cfg}


@pytest.mark.slow
def test_the_page_has_a_section_for_each_part(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_suite, "all_models", small_models)
    monkeypatch.setattr(speed_suite, "measure_memory", lambda *arguments: Memory(1.0, 2.0))  # it has its own test
    monkeypatch.setattr(speed_suite, "BOUND_QUERIES", 50)
    budget = Budget(sizes=((96, 128),), batches=(1, 2), repeats=(2, 2), training_batch=2, growth=False)
    write_speed_page(tmp_path / "new", "cpu", budget)
    page = (tmp_path / "new/speed.md").read_text().splitlines()
    sections = ["# Speed", "## 128x96, float32", "## Deformable attention", "## Training at 128x96"]
    assert [line for line in page if line.startswith("#")] == sections
    baseline = [line for line in page if line.startswith(f"| {BASELINE}")]
    assert len(baseline) == 2
    assert all("1.00" in line for line in baseline)


def test_growth_is_measured_over_each_size_and_drawn(tmp_path, monkeypatch):
    """The sizes of each panel, with replacements for the models."""
    built = []
    monkeypatch.setattr(speed_suite, "tfpose", lambda size, layers, joints=17: built.append((size, layers, joints)))
    monkeypatch.setattr(speed_suite, "peer", lambda name, size, joints=17: built.append((size, name, joints)))
    monkeypatch.setattr(speed_suite, "build", lambda cfg, device: None)
    timing = {"total": summarise([0.001])}
    monkeypatch.setattr(speed_suite, "time_parts", lambda models, *rest: [timing] * len(models))
    panels = speed_suite.growth("cpu", 1)
    assert [panel.label for panel in panels] == ["batch", "input size, w x h", "keypoints K", "encoder layers N_E"]
    assert all(len(times) == len(panel.ticks) for panel in panels for times in panel.latencies.values())
    assert {((192, 256), 6, 133), ((384, 512), BASELINE, 17)} <= {*built}
    draw_growth(panels, tmp_path / "speed.png")
    assert cv2.imread(str(tmp_path / "speed.png")).shape[1] > 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_kernel_runs_in_each_precision_without_synchronising(tmp_path):
    page = Page(tmp_path / "page.md")
    speed_suite.kernel_section(page, "cuda:0")
    assert page.missed == []
    assert [line.split("|")[2].strip() for line in page.lines[-4:-1]] == ["12", "12", "12"]

"""The report: its numbers are those of the evaluation, and a browser shows it without errors or requests."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from mmengine.config import Config

from tests.helpers.browser import open_in_chromium
from tests.helpers.models import flip_indices
from tests.helpers.paths import ROOT
from tests.helpers.processes import in_process_config
from tfpose_mm.apis import EvaluatedModel, analyse_checkpoint, evaluate, study_attention, write_report
from tfpose_mm.apis.report_sections import case_section, error_section, keypoint_section, summary_section
from tfpose_mm.evaluation import EvaluatedPerson, analyse_errors
from tfpose_mm.utils import UserError

K = 5
NAMES = ["nose", "left_hand", "right_hand", "left_foot", "right_foot"]


def write_log(folder):
    """The log of a training with two validations."""
    folder.mkdir()
    lines = [{"coco/AP": 0.1 * epoch, "step": epoch, "time": 1.0, "data_time": 0.1} for epoch in (4, 8)]
    lines += [
        dict(lr=0.1, loss=5.0 / step, loss_kpt=1.0 / step, loss_kpt_layer1=2.0 / step, iter=step, epoch=1, step=step)
        for step in range(1, 30)
    ]
    (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def report(people, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHETIC_ROOT", str(people))
        cfg = in_process_config(folder / "work")
    logs = dict(tiny=str(write_log(folder / "log")), other=str(folder / "log"))
    page = write_report(cfg, checkpoint, folder / "out", 3, (1,), logs=logs, options={"a.b": 1})
    return cfg, folder, page


def test_its_numbers_are_those_of_the_evaluation(report, checkpoint):
    cfg, folder, page = report
    numbers = json.loads((folder / "out/report.json").read_text())
    expected = evaluate(cfg, checkpoint, folder / "evaluated", pictures=0)
    assert numbers["metrics"] == pytest.approx(expected)
    study = study_attention(cfg, checkpoint)
    assert [layer["PCK@0.2"] for layer in numbers["layers"]] == pytest.approx(list(study.correct))
    values = [numbers["keypoints"][name]["PCK@0.2"] for name in numbers["keypoints"]]
    assert np.mean(values) == pytest.approx(expected["PCK@0.2/PCK"])  # MMPose's mean over keypoints
    text = page.read_text()
    assert f"<strong>{expected['coco/AP']:.3f}</strong>" in text
    for word in ("left_shoulder", "inversion", "Decoder layers", "GFLOPs", "AdamW", "sha256", "mmpose", "a.b=1"):
        assert word in text, word


def test_it_has_all_pictures(report):
    _, folder, page = report
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text())
    assert sum("annotation" in caption and "OKS" in caption for caption in captions) >= 6  # 3 best, 3 worst
    for figure in (
        "(Figure 6",
        "(Figure 7)",
        "(Figure 8)",
        "(Figure 9)",
        "(Figure 10)",
        "(Figures 11",
        "y_0 to y_{N_D}",
    ):
        assert any(figure in caption for caption in captions), figure
    assert any(caption.startswith("coco/AP of the validations") for caption in captions)
    assert (folder / "out/figures/person1_refinement.npz").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
def test_a_browser_shows_it(report, width, tmp_path):
    opened = open_in_chromium(report[2], width, tmp_path / "report.png")
    assert opened.messages == []
    assert opened.requests == []
    assert opened.width == width
    assert opened.clipped == []
    assert len(opened.images) > 15
    assert min(opened.images) > 300


def test_nothing_is_replaced(report, checkpoint):
    cfg, folder, page = report
    before = page.read_bytes()
    with pytest.raises(UserError, match=r"report.html exists already: delete it or choose another folder"):
        write_report(cfg, checkpoint, folder / "out")
    assert page.read_bytes() == before


def test_missing_input_is_named_before_the_test(report, checkpoint, tmp_path):
    cfg, _, _ = report
    with pytest.raises(UserError, match=r"The checkpoint nowhere.pth does not exist"):
        write_report(cfg, "nowhere.pth", tmp_path / "out")
    with pytest.raises(UserError, match=r"must have the log of a training"):
        write_report(cfg, checkpoint, tmp_path / "out", logs=dict(a=str(tmp_path)))
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "scalars.json").write_text('{"loss": 1.0, "iter": 1, "step": 1}\n')
    with pytest.raises(UserError, match=r"must have a metric in common, but have none"):
        write_report(cfg, checkpoint, tmp_path / "out", logs=dict(a=str(empty)))
    assert not (tmp_path / "out/report.html").exists()


def test_the_report_of_another_head(report, people, tmp_path, monkeypatch):
    """A peer has no attention and no decoder layers; the other sections are the same."""
    import torch
    from mmpose.registry import MODELS

    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    cfg = in_process_config(tmp_path / "work")
    cfg.model = Config.fromfile(str(ROOT / "configs/benchmark/simplebaseline_small_lspet_128x96.py")).model
    cfg.model.head.out_channels = 17
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / "peer.pth")
    text = write_report(cfg, tmp_path / "peer.pth", tmp_path / "out", cases=1).read_text()
    assert "The config has a HeatmapHead. Attention and errors by decoder layer need a TFPoseHead." in text
    assert "No logs were given" in text
    assert "<h2>Kinds of errors</h2>" in text
    assert "<h2>Decoder layers</h2>" not in text


def test_detected_boxes_are_tested_too(report, checkpoint, people, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    cfg = in_process_config(tmp_path / "work")
    annotations = json.loads((people / "annotations/person_keypoints_val.json").read_text())["annotations"]
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in annotations[:2]]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    cfg.test_evaluator = [dict(type="CocoMetric")]
    cfg.test_dataloader.dataset.bbox_file = str(tmp_path / "boxes.json")
    result = analyse_checkpoint(cfg, checkpoint, tmp_path / "test")
    assert len(result.persons) == len(annotations)
    assert set(result.detected) == set(result.metrics)
    assert cfg.test_dataloader.dataset.bbox_file  # not changed
    section = summary_section(result, dict(parameters_million=1, gflops=1, latency_ms={1: 1}))
    assert section.blocks[1].header == ["metric", "annotated boxes", "detected boxes"]


def result_of(*persons):
    metainfo = dict(
        num_keypoints=K,
        keypoint_id2name=dict(enumerate(NAMES)),
        flip_indices=flip_indices(K),
        sigmas=np.full(K, 0.05),
    )
    errors = analyse_errors(persons, metainfo["flip_indices"], metainfo["sigmas"])
    return EvaluatedModel({"coco/AP": 0.5}, None, metainfo, list(persons), errors)


def person(shift, labelled=(True,) * K, image_id=1):
    target = np.array([[50.0, 20.0], [20.0, 60.0], [80.0, 60.0], [30.0, 150.0], [70.0, 150.0]])
    box = np.array([10.0, 10.0, 90.0, 170.0])
    return EvaluatedPerson(
        "a.jpg", image_id, 1, target + np.array([shift, 0.0]), target, np.array(labelled), box, 6000.0
    )


def test_tables_of_five_keypoints():
    result = result_of(person(1.0, (True, True, True, True, False)), person(30.0, (False,) + (True,) * 4, image_id=2))
    table = keypoint_section(result).blocks[0]
    assert [row[:3] for row in table.rows] == [
        ["nose", "1", "1.000"],
        ["left_hand", "2", "1.000"],
        ["right_hand", "2", "1.000"],
        ["left_foot", "2", "1.000"],
        ["right_foot", "1", "1.000"],
        ["all", "8", "1.000"],
    ]
    assert table.rows[-1][3] == "0.500"  # 30 of 160 pixels is above 0.1: 4 of 8 keypoints
    _, bars, table = error_section(result).blocks
    assert dict(bars.rows)["left_hand"] == [0.5, 0, 0, 0, 0.5]
    assert table.rows[-1] == ["all", "50.0 %", "0.0 %", "0.0 %", "0.0 %", "50.0 %"]


def test_a_keypoint_that_is_never_annotated_has_no_number():
    result = result_of(person(1.0, (False,) + (True,) * 4))
    assert keypoint_section(result).blocks[0].rows[0] == ["nose", "0", "-", "-", "-", "-"]
    assert "nose" not in [label for label, _ in error_section(result).blocks[1].rows]


def test_cases_have_enough_annotations():
    """The worst case is among the persons with half of the keypoints annotated."""
    few = person(40.0, (True, False, False, False, False))
    result = result_of(person(0.0), person(20.0, image_id=2), few)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tfpose_mm.apis.report_sections._draw_case", lambda _, index: drawn.append(int(index)) or (b"", "")
        )
        case_section(result, 1)
    assert drawn == [1, 0]

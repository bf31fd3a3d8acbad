"""The report: its numbers are those of the evaluation, and a browser shows it without errors or requests."""

from __future__ import annotations

import copy
import json
import re

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from tests.helpers.browser import open_in_chromium
from tests.helpers.models import flip_indices, randomise
from tests.helpers.paths import ROOT
from tests.helpers.processes import in_process_config
from tfpose_mm.analysis import report_results as results
from tfpose_mm.analysis.attention_study import study_attention
from tfpose_mm.analysis.error_analysis import EvaluatedModel, analyse_checkpoint
from tfpose_mm.analysis.report import write_report
from tfpose_mm.analysis.report_results import case_section, error_section, keypoint_section, summary_section
from tfpose_mm.engine.running import KeepSamples, run_test
from tfpose_mm.errors import UserError
from tfpose_mm.evaluation import EvaluatedPerson, analyse_errors

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
    log = str(write_log(folder / "log"))
    logs = [f"{label}={log}" for label in ("tiny", "other", "tiny")]
    options = {"a.b": 1}
    written = write_report(cfg, checkpoint, out=folder / "out", cases=3, persons=(1,), logs=logs, cfg_options=options)
    assert str(written).endswith(f"report:      {folder}/out/report.html")
    return cfg, folder, written.page


def test_its_numbers_are_those_of_the_evaluation(report, checkpoint):
    cfg, folder, page = report
    numbers = json.loads((folder / "out/report.json").read_text())
    _, expected = run_test(copy.deepcopy(cfg), checkpoint, folder / "evaluated", KeepSamples(0))
    assert numbers["metrics"] == pytest.approx(expected)
    study = study_attention(cfg, checkpoint)
    assert [layer["PCK@0.2"] for layer in numbers["layers"]] == pytest.approx(list(study.correct))
    values = [numbers["keypoints"][name]["PCK@0.2"] for name in numbers["keypoints"]]
    assert np.mean(values) == pytest.approx(expected["PCK@0.2/PCK"])  # MMPose's mean over keypoints
    text = page.read_text()
    text = text.replace("<wbr>", "")
    assert f"<strong>{expected['coco/AP']:.3f}</strong>" in text
    for word in ("left_shoulder", "inversion", "Decoder layers", "GFLOPs", "AdamW", "SHA-256", "mmpose", "a.b=1"):
        assert word in text, word


def test_it_has_all_pictures(report):
    _, folder, page = report
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page.read_text())
    assert sum("annotation" in caption and "OKS" in caption for caption in captions) >= 6  # 3 best, 3 worst
    for figure in ("Figure 6 ", "Figure 7 ", "Figure 8 ", "Figure 9 ", "Figure 10 ", "Figures 11 ", "y_0 to y_2"):
        assert any(figure in caption for caption in captions), figure
    assert any(caption.startswith("coco/AP of the validations") for caption in captions)
    assert (folder / "out/figures/person1_refinement.npz").is_file()
    assert cv2.imread(str(folder / "out/predictions.png")).shape[1] == 5 * (2 * 144 + 8)
    assert "| AP " in (folder / "out/report.txt").read_text()


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
    with pytest.raises(UserError, match=r"must not have a report, but .*report.html exists: delete it"):
        write_report(cfg, checkpoint, out=folder / "out")
    assert page.read_bytes() == before


def test_missing_input_is_named_before_the_test(report, checkpoint, tmp_path):
    cfg, _, _ = report
    with pytest.raises(UserError, match=r"The checkpoint nowhere.pth does not exist"):
        write_report(cfg, "nowhere.pth", out=tmp_path / "out")
    with pytest.raises(UserError, match=r"The device must be cpu or a GPU that torch can use, but cuda:99 fails"):
        write_report(cfg, checkpoint, out=tmp_path / "out", device="cuda:99")
    with pytest.raises(UserError, match=r"The person number must be between 0 and 4, but is 9"):
        write_report(cfg, checkpoint, out=tmp_path / "out", persons=(9,), limit=1)
    with pytest.raises(UserError, match=r"must have the log of a training"):
        write_report(cfg, checkpoint, out=tmp_path / "out", logs=[f"a={tmp_path}"])
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "scalars.json").write_text('{"loss": 1.0, "iter": 1, "step": 1}\n')
    with pytest.raises(UserError, match=r"must have a metric in common, but have none"):
        write_report(cfg, checkpoint, out=tmp_path / "out", logs=[f"a={empty}"])
    assert not (tmp_path / "out/report.html").exists()
    assert not (tmp_path / "out/test").exists()


def test_test_data_that_have_no_report(report, checkpoint, tmp_path):
    cfg = copy.deepcopy(report[0])
    cfg.test_dataloader.dataset = dict(type="CombinedDataset", metainfo={}, datasets=[cfg.test_dataloader.dataset])
    with pytest.raises(UserError, match=r"must be one data set with an ann_file, but the config has a CombinedDataset"):
        write_report(cfg, checkpoint, out=tmp_path / "out")
    cfg = copy.deepcopy(report[0])
    cfg.test_dataloader.dataset.bbox_file = "nowhere.json"
    with pytest.raises(UserError, match=r"The file of detected boxes nowhere.json does not exist: set"):
        analyse_checkpoint(cfg, checkpoint, tmp_path / "test")


@pytest.mark.slow
def test_a_data_set_with_other_keypoints_and_several_persons_in_an_image(people, tmp_path, monkeypatch):
    """14 keypoints; each image has its persons twice, so that swaps are possible."""
    content = json.loads((people / "annotations/person_keypoints_val.json").read_text())
    annotations = []
    for entry in content["annotations"]:
        points = np.reshape(entry["keypoints"], (17, 3))[3:]
        entry = dict(entry, keypoints=points.ravel().tolist(), num_keypoints=int((points[:, 2] > 0).sum()))
        points = points + np.array([5, 0, 0])
        annotations += [entry, dict(entry, id=entry["id"] + 100, keypoints=points.ravel().tolist())]
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/lspet_val.json").write_text(json.dumps(dict(content, annotations=annotations)))
    (tmp_path / "images").symlink_to(people / "val")
    monkeypatch.setenv("LSPET_ROOT", str(tmp_path))
    cfg = Config.fromfile(str(ROOT / "benchmarks/configs/tfpose_small_lspet_128x96.py"))
    cfg.merge_from_dict({"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False})
    torch.manual_seed(0)
    torch.save(dict(state_dict=randomise(MODELS.build(cfg.model)).state_dict()), tmp_path / "lspet.pth")
    page = write_report(cfg, tmp_path / "lspet.pth", out=tmp_path / "out", cases=1, limit=2).page
    numbers = json.loads(page.with_suffix(".json").read_text())
    assert len(numbers["keypoints"]) == 14
    assert numbers["instances"] == len(annotations)
    assert sum(keypoint["good"] + keypoint["miss"] for keypoint in numbers["keypoints"].values()) > 0
    text = page.read_text()
    assert "no image of this data set has two" not in text
    assert "head_top" in text


def test_a_data_set_without_sigmas(report):
    """As several of MMPose: PCK, but no similarity and no kinds."""
    result = result_of(person(1.0), person(30.0, image_id=2), sigmas=())
    table = keypoint_section(result).blocks[0]
    assert table.header == ["keypoint", "number", "PCK@0.2", "PCK@0.1", "PCK@0.05"]
    assert table.rows[-1] == ["all", "10", "1.000", "0.500", "0.500"]
    assert error_section(result).blocks[0].text == "The data set has no sigmas, so there is no keypoint similarity."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "_draw_case", lambda _, index: (b"", str(index)))
        blocks = case_section(result, 1).blocks
    assert [block.text for block in blocks[1::2]] == ["Worst by mean error:", "Best by mean error:"]
    assert [block.items[0][1] for block in blocks[2::2]] == ["1", "0"]


def test_the_summary_of_mpii_has_the_total():
    metrics = {"Head PCK": 90.0, "Shoulder PCK": 80.0, "Ankle PCK": 70.0, "PCK": 75.0, "PCK@0.1": 20.0}
    result = EvaluatedModel(metrics, None, {}, [], None)
    tiles = summary_section(result, dict(parameters_million=1, gflops=1, latency_ms={1: 1})).blocks[0]
    assert [name for name, _ in tiles.items[:3]] == ["Total", "Total@0.1", "Head"]


def test_the_report_of_another_head(report, people, tmp_path, monkeypatch):
    """A peer has no attention and no decoder layers; the other sections are the same."""
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    cfg = in_process_config(tmp_path / "work")
    cfg.model = Config.fromfile(str(ROOT / "benchmarks/configs/simplebaseline_small_lspet_128x96.py")).model
    cfg.model.head.out_channels = 17
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / "peer.pth")
    text = write_report(cfg, tmp_path / "peer.pth", out=tmp_path / "out", cases=1).page.read_text()
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


def result_of(*persons, sigmas=(0.05,) * K):
    metainfo = dict(
        num_keypoints=K,
        keypoint_id2name=dict(enumerate(NAMES)),
        flip_indices=flip_indices(K),
        sigmas=np.array(sigmas),
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
    assert table.rows[-1] == ["all", "50.0", "0.0", "0.0", "0.0", "50.0"]


def test_a_keypoint_that_is_never_annotated_has_no_number():
    result = result_of(person(1.0, (False,) + (True,) * 4))
    assert keypoint_section(result).blocks[0].rows[0] == ["nose", "0", "-", "-", "-", "-"]
    assert "nose" not in [label for label, _ in error_section(result).blocks[1].rows]
    nobody = result_of(person(1.0, (False,) * K))
    assert keypoint_section(nobody).blocks[0].rows[-1] == ["all", "0", "-", "-", "-", "-"]
    assert case_section(nobody, 3).blocks[0].text == "No cases are shown."


def test_cases_have_enough_annotations():
    """The worst case is among the persons with half of the keypoints annotated."""
    few = person(40.0, (True, False, False, False, False))
    result = result_of(person(0.0), person(20.0, image_id=2), few)
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "_draw_case", lambda _, index: drawn.append(int(index)) or (b"", ""))
        case_section(result, 1)
    assert drawn == [1, 0]

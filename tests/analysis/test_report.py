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
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.registry import MODELS

from tests.helpers.browser import open_in_chromium
from tests.helpers.models import flip_indices, randomise
from tests.helpers.paths import ROOT
from tests.helpers.processes import in_process_config
from tfpose_mm.analysis.error_analysis import EvaluatedModel, analyse_checkpoint
from tfpose_mm.analysis.recording import record
from tfpose_mm.analysis.report import write_report
from tfpose_mm.analysis.report_content import find_cases, keypoint_rows
from tfpose_mm.comparison.latency import Timing
from tfpose_mm.engine.running import KeepSamples, run_test
from tfpose_mm.errors import UserError
from tfpose_mm.evaluation import ERROR_KINDS, EvaluatedPerson, analyse_errors

K = 5
TITLES = ["Metrics", "Keypoints", "Kinds of errors", "Decoder layers", "Cases", "Attention", "Training"]
TITLES += ["Size and latency", "Recipe", "Versions"]
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
    options = {"a.b": 1, "c": "<b>" + "a_very_long_name_without_any_space_" * 6}
    written = write_report(cfg, checkpoint, out=folder / "out", cases=3, persons=(1,), logs=logs, cfg_options=options)
    assert str(written).endswith(f"report:      {folder}/out/report.html")
    return cfg, folder, written.page


def test_its_numbers_are_those_of_the_evaluation(report, checkpoint):
    cfg, folder, page = report
    numbers = json.loads((folder / "out/report.json").read_text())
    _, expected = run_test(copy.deepcopy(cfg), checkpoint, folder / "evaluated", KeepSamples(0))
    assert numbers["metrics"] == pytest.approx(expected)
    recording = record(cfg, checkpoint)  # from images, not from the feature maps of the test
    assert [layer["PCK@0.2"] for layer in numbers["layers"]] == pytest.approx(recording.pck()[:, 0].tolist())
    np.testing.assert_allclose([layer["errors"] for layer in numbers["layers"]], recording.mean_distance(), atol=1e-6)
    attention = np.load(folder / "out/figures/fig6_query_attention.npz")["attention"]
    np.testing.assert_allclose(attention, recording.query_attention, atol=1e-6)
    values = [numbers["keypoints"][name]["PCK@0.2"] for name in numbers["keypoints"]]
    assert np.mean(values) == pytest.approx(expected["PCK@0.2/PCK"])  # MMPose's mean over keypoints
    text = page.read_text()
    text = text.replace("<wbr>", "")
    assert f"<tr><td>AP</td><td>{expected['coco/AP']:.3f}</td>" in text
    for word in ("left_shoulder", "inversion", "Decoder layers", "GFLOPs", "AdamW", "SHA-256", "mmpose", "a.b=1"):
        assert word in text, word


def test_texts_are_escaped_and_nothing_is_outside(report):
    text = report[2].read_text()
    assert "c=&lt;b&gt;a_very" in text
    assert "<script" not in text
    assert {source[:5] for source in re.findall(r'(?:src|href)="([^"]*)"', text)} <= {
        "data:",
        *(f"#{t[:4]}" for t in TITLES),
    }
    assert re.findall(r'<h2 id="(.*?)">', text) == re.findall(r'href="#(.*?)"', text) == TITLES


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
    with pytest.raises(UserError, match=r"The device must be cpu or a GPU that torch can use, .* is .cuda:99"):
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
    assert ">Kinds of errors</h2>" in text
    assert "Decoder layers</" not in text


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
    result.recording = None  # no figures
    text = page_of(result, cfg, checkpoint, tmp_path, monkeypatch, cases=0)
    assert 'annotated boxes</th><th scope="col">detected boxes</th>' in text
    assert f"<tr><td>AR</td><td>{result.metrics['coco/AR']:.3f}</td><td>{result.detected['coco/AR']:.3f}</td>" in text
    assert "No cases are shown." in text


COCO = parse_pose_metainfo(dict(from_file="configs/_base_/datasets/coco.py"))


def whole(people):
    """A person whose prediction is the annotation."""
    target = np.full((17, 2), 40.0)
    image = str(next((people / "val").iterdir()))
    return EvaluatedPerson(image, 1, 1, target, target, np.ones(17, bool), np.array([10.0, 10.0, 60.0, 80.0]), 900.0)


def page_of(result, cfg, checkpoint, out, patch, **options):
    """The report on a result, without the measurement of the latency."""
    costs = dict(parameters_million=1, gflops=1, checkpoint_sha256="")
    timings = [Timing(1, 1, 1, ())] * 2
    patch.setattr("tfpose_mm.analysis.report.analyse_checkpoint", lambda *_: result)
    patch.setattr("tfpose_mm.analysis.report.measure_cost", lambda *_: (costs, dict(total=timings)))
    return write_report(cfg, checkpoint, out=out, persons=(), **options).page.read_text()


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


def test_rows_of_five_keypoints():
    result = result_of(person(1.0, (True, True, True, True, False)), person(30.0, (False,) + (True,) * 4, image_id=2))
    rows = keypoint_rows(result)
    assert [(name, row["number"], row["PCK@0.2"]) for name, row in rows.items()] == [
        ("nose", 1, 1),
        ("left_hand", 2, 1),
        ("right_hand", 2, 1),
        ("left_foot", 2, 1),
        ("right_foot", 1, 1),
        ("all", 8, 1),
    ]
    assert rows["all"]["PCK@0.1"] == 0.5  # 30 of 160 pixels is above 0.1: 4 of 8 keypoints
    kinds = [[row[kind] for kind in ERROR_KINDS] for row in rows.values()]
    assert kinds[1] == [1, 0, 0, 0, 1]
    assert kinds[-1] == [4, 0, 0, 0, 4]
    similarity = result.errors.similarity
    assert rows["all"]["similarity"] == pytest.approx(similarity[~np.isnan(similarity)].mean())


def test_pck_is_mmpose_s():
    rng = np.random.default_rng(1)
    persons = [person(0.0, rng.random(K) < 0.6) for _ in range(40)]
    for one in persons:
        one.keypoints = one.target + rng.normal(0, 20, (K, 2))
    rows = keypoint_rows(result_of(*persons))
    predicted, target = (np.array([getattr(one, name) for one in persons]) for name in ("keypoints", "target"))
    labelled = np.array([one.labelled for one in persons])
    for threshold in (0.05, 0.1, 0.2):
        expected, _, _ = keypoint_pck_accuracy(predicted, target, labelled, threshold, np.full((40, 2), 160.0))
        np.testing.assert_allclose([rows[name][f"PCK@{threshold}"] for name in NAMES], expected)
    assert sum(rows["all"][kind] for kind in ERROR_KINDS) == rows["all"]["number"] == labelled.sum()


def test_a_keypoint_that_is_never_annotated_has_no_number():
    nothing = {"number": 0, "similarity": None, **dict.fromkeys(ERROR_KINDS, 0)}
    nothing.update(dict.fromkeys(("PCK@0.05", "PCK@0.1", "PCK@0.2")))
    assert keypoint_rows(result_of(person(1.0, (False,) + (True,) * 4)))["nose"] == nothing
    nobody = result_of(person(1.0, (False,) * K))
    assert keypoint_rows(nobody)["all"] == nothing
    assert find_cases(nobody, 3) == (1, {})


def test_a_data_set_without_sigmas(report, checkpoint, people, tmp_path, monkeypatch):
    """As several of MMPose: PCK, but no similarity and no kinds."""
    result = result_of(person(1.0), person(30.0, image_id=2), sigmas=())
    assert keypoint_rows(result)["all"] == {"number": 10, "PCK@0.05": 0.5, "PCK@0.1": 0.5, "PCK@0.2": 1}
    assert find_cases(result, 1) == (3, {"Worst by mean error": [1], "Best by mean error": [0]})
    metainfo = dict(COCO, sigmas=np.array([]))
    result = EvaluatedModel(
        {"coco/AP": 0.5}, None, metainfo, [whole(people)], analyse_errors([whole(people)], COCO["flip_indices"], [])
    )
    result.model = MODELS.build(report[0].model)
    text = page_of(result, report[0], checkpoint, tmp_path, monkeypatch)
    assert text.count("The data set has no sigmas, so there is no keypoint similarity.") == 2
    assert "mean error 0.000 of the box" in text


def test_cases_have_enough_annotations():
    """The worst case is among the persons with half of the keypoints annotated."""
    few = person(40.0, (True, False, False, False, False))
    result = result_of(person(0.0), person(20.0, image_id=2), few)
    assert find_cases(result, 1) == (3, {"Worst by OKS": [1], "Best by OKS": [0]})


def test_cases_of_inversions_and_swaps():
    exchanged, other = person(0.0), person(0.0, image_id=2)
    exchanged.keypoints = exchanged.target[flip_indices(K)]
    other.keypoints = other.target + 500
    other_target = person(500.0, image_id=2)
    other_target.target, other_target.keypoints = other_target.target + 500, other_target.target + 500
    groups = find_cases(result_of(exchanged, other, other_target), 1)[1]
    assert groups["Most inversions"] == [0]
    assert groups["Most swaps"] == [1]

from __future__ import annotations

import copy
import json
import re

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
from tfpose_mm.analysis.report_content import CELL, draw_pair, find_cases, keypoint_rows
from tfpose_mm.comparison.latency import Timing
from tfpose_mm.engine.running import KeepSamples, run_test
from tfpose_mm.errors import UserError
from tfpose_mm.evaluation import ERROR_KINDS, EvaluatedPerson, analyse_errors

K = 5
TITLES = ["Metrics", "Keypoints", "Kinds of errors", "Decoder layers", "Cases", "Attention", "Training"]
TITLES += ["Size and latency", "Recipe", "Versions"]
NAMES = ["nose", "left_hand", "right_hand", "left_foot", "right_foot"]
COCO = parse_pose_metainfo(dict(from_file="configs/_base_/datasets/coco.py"))


@pytest.fixture(scope="module")
def report(people, checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNTHETIC_ROOT", str(people))
        cfg = in_process_config(folder / "work")
    lines = [{"coco/AP": 0.1 * epoch, "step": epoch} for epoch in (4, 8)]
    lines += [dict(lr=0.1, loss=5.0 / step, loss_kpt=1.0 / step, iter=step, epoch=1, step=step) for step in (1, 2)]
    (folder / "scalars.json").write_text("\n".join(map(json.dumps, lines)))
    logs = [f"{label}={folder}" for label in ("tiny", "other", "tiny")]
    options = {"a.b": 1, "c": "<b>" + "a_very_long_name_without_any_space_" * 6}
    written = write_report(cfg, checkpoint, out=folder / "out", cases=3, persons=(1,), logs=logs, cfg_options=options)
    assert str(written).endswith(f"report:      {folder}/out/report.html")
    return cfg, folder, written.page


@pytest.fixture
def cfg(report):
    return copy.deepcopy(report[0])


def test_its_numbers_are_those_of_the_evaluation(report, cfg, checkpoint):
    _, folder, page = report
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
    text = page.read_text().replace("<wbr>", "")
    assert f"<tr><td>AP</td><td>{expected['coco/AP']:.3f}</td>" in text
    for word in ("left_shoulder", "inversion", "GFLOPs", "AdamW", "SHA-256", "mmpose", "a.b=1", "c=&lt;b&gt;a_very"):
        assert word in text, word
    assert "| AP " in (folder / "out/report.txt").read_text()


def test_it_has_all_pictures_and_nothing_is_outside(report):
    text = report[2].read_text()
    assert "<script" not in text
    targets = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert {target for target in targets if not target.startswith("data:")} == {f"#{title}" for title in TITLES}
    assert re.findall(r'<h2 id="(.*?)">', text) == TITLES
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert sum("annotation" in caption and "OKS" in caption for caption in captions) >= 6  # 3 best, 3 worst
    figures = ["Figure 6 ", "Figure 7 ", "Figure 8 ", "Figure 9 ", "Figure 10 ", "Figures 11 ", "y_0 to y_2"]
    for words in (*figures, "coco/AP of the validations", "Losses, learning rate"):
        assert any(words in caption for caption in captions), words
    assert (report[1] / "out/figures/person1_refinement.npz").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
def test_a_browser_shows_it(report, width):
    opened = open_in_chromium(report[2], width)
    assert (opened.messages, opened.requests, opened.clipped, opened.width) == ([], [], [], width)
    assert len(opened.images) > 15
    assert min(opened.images) > 300


def test_wrong_input_is_named(report, cfg, checkpoint, tmp_path):
    def fails(match, config=cfg, weights=checkpoint, out=tmp_path / "out", **options):
        with pytest.raises(UserError, match=match):
            write_report(config, weights, out=out, **options)

    before = report[2].read_bytes()
    fails("report.html exists already: delete it or choose another name", out=report[1] / "out")
    assert report[2].read_bytes() == before
    fails("The checkpoint nowhere.pth does not exist", weights="nowhere.pth")
    fails("The device must be cpu or a GPU that torch can use", device="cuda:99")
    fails("The person number must be between 0 and 4, but is 9", persons=(9,))
    fails("must have the log of a training", logs=[f"a={tmp_path}"])
    other = copy.deepcopy(cfg)
    other.test_dataloader.dataset = dict(type="CombinedDataset", metainfo={}, datasets=[cfg.test_dataloader.dataset])
    fails("must be one data set with an ann_file, but the config has a CombinedDataset", other)
    cfg.test_dataloader.dataset.bbox_file = "nowhere.json"
    fails("The file of detected boxes nowhere.json does not exist: set")
    assert not (tmp_path / "out/report.html").exists()


@pytest.mark.slow
def test_a_data_set_with_other_keypoints_and_several_persons_in_an_image(people, tmp_path, monkeypatch):
    """14 keypoints; each image has its persons twice, so that swaps are possible."""
    content = json.loads((people / "annotations/person_keypoints_val.json").read_text())
    annotations = []
    for entry in content["annotations"]:
        for shift in (0, 5):
            points = np.reshape(entry["keypoints"], (17, 3))[3:] + np.array([shift, 0, 0])
            changes = dict(keypoints=points.ravel().tolist(), num_keypoints=int((points[:, 2] > 0).sum()))
            annotations.append(dict(entry, id=len(annotations), **changes))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/lspet_val.json").write_text(json.dumps(dict(content, annotations=annotations)))
    (tmp_path / "images").symlink_to(people / "val")
    monkeypatch.setenv("LSPET_ROOT", str(tmp_path))
    cfg = Config.fromfile(str(ROOT / "benchmarks/configs/tfpose_small_lspet_128x96.py"))
    cfg.merge_from_dict({"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False})
    torch.save(dict(state_dict=randomise(MODELS.build(cfg.model)).state_dict()), tmp_path / "lspet.pth")
    page = write_report(cfg, tmp_path / "lspet.pth", out=tmp_path / "out", cases=1).page
    numbers = json.loads(page.with_suffix(".json").read_text())
    assert len(numbers["keypoints"]) == 14
    assert numbers["instances"] == len(annotations)
    assert sum(keypoint["good"] + keypoint["miss"] for keypoint in numbers["keypoints"].values()) > 0
    text = page.read_text()
    assert "no image of this data set has two" not in text
    assert "head_top" in text


def test_the_report_of_another_head(cfg, tmp_path):
    """A peer has no attention and no decoder layers; the other sections are the same."""
    cfg.model = Config.fromfile(str(ROOT / "benchmarks/configs/simplebaseline_small_lspet_128x96.py")).model
    cfg.model.head.out_channels = 17
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / "peer.pth")
    text = write_report(cfg, tmp_path / "peer.pth", out=tmp_path / "out", cases=1).page.read_text()
    assert "The config has a HeatmapHead. Attention and errors by decoder layer need a TFPoseHead." in text
    assert "No logs were given" in text
    assert ">Kinds of errors</h2>" in text
    assert "Decoder layers</" not in text


def page_of(result, cfg, checkpoint, out, patch, **options):
    """The report on a result, without the measurement of the latency."""
    costs = dict(parameters_million=1, gflops=1, checkpoint_sha256=""), dict(total=[Timing(1, 1, 1, ())] * 2)
    patch.setattr("tfpose_mm.analysis.report.analyse_checkpoint", lambda *_: result)
    patch.setattr("tfpose_mm.analysis.report.measure_cost", lambda *_: costs)
    return write_report(cfg, checkpoint, out=out, persons=(), **options).page.read_text()


def test_detected_boxes_are_tested_too(cfg, checkpoint, people, tmp_path, monkeypatch):
    annotations = json.loads((people / "annotations/person_keypoints_val.json").read_text())["annotations"]
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in annotations[:2]]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    cfg.test_evaluator = [dict(type="CocoMetric")]
    cfg.test_dataloader.dataset.bbox_file = str(tmp_path / "boxes.json")
    result = analyse_checkpoint(cfg, checkpoint, tmp_path / "test")
    assert len(result.persons) == len(annotations)
    assert cfg.test_dataloader.dataset.bbox_file  # not changed
    result.recording = None  # no figures
    text = page_of(result, cfg, checkpoint, tmp_path, monkeypatch, cases=0)
    assert 'annotated boxes</th><th scope="col">detected boxes</th>' in text
    assert f"<tr><td>AR</td><td>{result.metrics['coco/AR']:.3f}</td><td>{result.detected['coco/AR']:.3f}</td>" in text
    assert "No cases are shown." in text


def result_of(*persons, sigmas=(0.05,) * K, metainfo=None):
    metainfo = metainfo or dict(num_keypoints=K, keypoint_id2name=dict(enumerate(NAMES)), flip_indices=flip_indices(K))
    errors = analyse_errors(persons, metainfo["flip_indices"], sigmas)
    return EvaluatedModel({"coco/AP": 0.5}, None, metainfo, list(persons), errors)


def person(shift, labelled=(True,) * K, image_id=1):
    target = np.array([[50.0, 20.0], [20.0, 60.0], [80.0, 60.0], [30.0, 150.0], [70.0, 150.0]])
    box, labelled = np.array([10.0, 10.0, 90.0, 170.0]), np.array(labelled)
    return EvaluatedPerson("a.jpg", image_id, 1, target + np.array([shift, 0.0]), target, labelled, box, 6000.0)


def test_pck_is_mmpose_s():
    rng = np.random.default_rng(1)
    persons = [person(0.0, rng.random(K) < 0.6) for _ in range(40)]
    for one in persons:
        one.keypoints = one.target + rng.normal(0, 20, (K, 2))
    result = result_of(*persons)
    rows = keypoint_rows(result)
    predicted, target = (np.array([getattr(one, name) for one in persons]) for name in ("keypoints", "target"))
    labelled = np.array([one.labelled for one in persons])
    for threshold in (0.05, 0.1, 0.2):
        expected, _, _ = keypoint_pck_accuracy(predicted, target, labelled, threshold, np.full((40, 2), 160.0))
        np.testing.assert_allclose([rows[name][f"PCK@{threshold}"] for name in NAMES], expected)
    assert sum(rows["all"][kind] for kind in ERROR_KINDS) == rows["all"]["number"] == labelled.sum()
    assert [rows[name]["number"] for name in NAMES] == labelled.sum(0).tolist()
    assert [rows[name]["good"] for name in NAMES] == (result.errors.kinds == 0).sum(0).tolist()
    assert rows["all"]["similarity"] == pytest.approx(np.nanmean(result.errors.similarity))


def test_a_keypoint_that_is_never_annotated_has_no_number():
    nobody = result_of(person(1.0, (False,) * K))
    nothing = {"number": 0, "similarity": None, **dict.fromkeys(ERROR_KINDS, 0)}
    assert keypoint_rows(nobody)["nose"] == {**nothing, **dict.fromkeys(("PCK@0.05", "PCK@0.1", "PCK@0.2"))}
    assert find_cases(nobody, 3) == (1, {})


def whole(people):
    """A person whose prediction is the annotation, in a picture of the data set."""
    target = np.random.default_rng(0).uniform(10, 80, (17, 2))
    image = str(next((people / "val").iterdir()))
    return EvaluatedPerson(image, 1, 1, target, target, np.ones(17, bool), np.array([10.0, 10.0, 60.0, 80.0]), 900.0)


def test_a_data_set_without_sigmas(cfg, checkpoint, people, tmp_path, monkeypatch):
    """As several of MMPose: PCK, but no similarity and no kinds."""
    result = result_of(person(1.0), person(30.0, image_id=2), sigmas=())
    assert keypoint_rows(result)["all"] == {"number": 10, "PCK@0.05": 0.5, "PCK@0.1": 0.5, "PCK@0.2": 1}
    assert find_cases(result, 1) == (3, {"Worst by mean error": [1], "Best by mean error": [0]})
    result = result_of(whole(people), sigmas=(), metainfo=COCO)
    result.model = MODELS.build(cfg.model)
    text = page_of(result, cfg, checkpoint, tmp_path, monkeypatch)
    assert text.count("The data set has no sigmas, so there is no keypoint similarity.") == 2
    assert "mean error 0.000 of the box" in text


def test_a_pair_of_pictures(people):
    """The left one depends on the annotation alone; an error has a ring of its colour on the right one."""
    one = whole(people)
    exact = draw_pair(one, COCO, {})
    one.keypoints = one.target + 5
    moved, marked = draw_pair(one, COCO, {}), draw_pair(one, COCO, {3: "#d55e00"})
    assert exact.shape == (CELL[1], 2 * CELL[0], 3)
    left, right = np.s_[:, : CELL[0]], np.s_[:, CELL[0] :]
    assert np.array_equal(exact[left], moved[left])
    assert not np.array_equal(exact[right], moved[right])
    assert np.array_equal(marked[left], moved[left])
    assert (marked[right] == (0x00, 0x5E, 0xD5)).all(-1).sum() > (moved[right] == (0x00, 0x5E, 0xD5)).all(-1).sum()


def test_cases():
    """The worst is among the persons with half of the keypoints annotated; inversions and swaps have groups."""
    few = person(40.0, (True, False, False, False, False))
    result = result_of(person(0.0), person(20.0, image_id=2), few)
    assert find_cases(result, 1) == (3, {"Worst by OKS": [1], "Best by OKS": [0]})
    exchanged, other, target = person(0.0), person(0.0, image_id=2), person(500.0, image_id=2)
    exchanged.keypoints = exchanged.target[flip_indices(K)]
    other.keypoints = other.target + 500
    target.target, target.keypoints = target.target + 500, target.target + 500
    groups = find_cases(result_of(exchanged, other, target), 1)[1]
    assert groups["Most inversions"] == [0]
    assert groups["Most swaps"] == [1]

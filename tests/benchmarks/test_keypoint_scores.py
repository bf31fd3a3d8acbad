from __future__ import annotations

import gc
import json
import re
import sys
import weakref

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpose.codecs import UDPHeatmap
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from benchmarks.keypoint_scores import KeepScores, compare_scores, read_maxima
from tests.helpers.models import randomise
from tests.helpers.paths import TINY
from tests.helpers.processes import NO_WORKERS, start
from tfpose_mm.errors import UserError

MAPS = ["model.head.start.type=KeypointMapStart"]


def test_maxima_are_read_in_the_image():
    """Decoding the heat map of a keypoint gives the keypoint in pixels of the image."""
    codec = dict(input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
    label = np.array([[[0.25, 0.5], [0.75, 0.125]]], dtype=np.float32)  # (x, y); 1 is the centre of the last pixel
    drawn = UDPHeatmap((96, 128), (24, 32), sigma=2).encode(label * (95, 127))["heatmaps"]
    sample = PoseDataSample(metainfo=dict(input_center=np.array([50.0, 80.0]), input_scale=np.array([60.0, 80.0])))
    sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)))
    sample.pred_fields = PixelData(heatmaps=torch.from_numpy(drawn))
    (read,) = read_maxima([sample], codec)
    np.testing.assert_allclose(read.pred_instances.keypoints, label * (60, 80) + (20, 40), atol=0.1)


@pytest.mark.slow
def test_a_row_for_each_score(people, tmp_path):
    cfg = Config.fromfile(str(TINY))
    cfg.merge_from_dict({"model.head.start.type": "KeypointMapStart"})
    torch.save(dict(state_dict=randomise(MODELS.build(cfg.model)).state_dict()), tmp_path / "moved.pth")
    tool = [sys.executable, "-m", "benchmarks.keypoint_scores", TINY, "moved.pth", "--out", "out"]
    process = start(*tool, "--cfg-options", *NO_WORKERS, *MAPS, cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, process.stderr[-3000:]
    table = (tmp_path / "out/keypoint_scores.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[4:7]]
    assert [row[0] for row in rows] == ["one", "heatmap", "keypoint_map"]
    assert rows[0][2:5:2] == ["0.500", "1.000"]
    assert len({row[5] for row in rows}) == 1  # scores do not change the keypoints
    assert rows[1][4] != rows[2][4]
    _, maxima, coordinates = re.findall(r"[01]\.\d+", "0.0 " + table.splitlines()[-1])
    assert coordinates == rows[0][5]
    assert maxima != coordinates
    assert cv2.imread(str(tmp_path / "out/keypoint_scores.png")) is not None


@pytest.mark.slow
def test_without_ap_the_column_is_empty(people, tmp_path):
    config = tmp_path / "pck.py"
    config.write_text(f"_base_ = {str(TINY)!r}\ntest_evaluator = [dict(type='PCKAccuracy', thr=0.2)]\n")
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(str(TINY)).model).state_dict()), tmp_path / "first.pth")
    tool = [sys.executable, "-m", "benchmarks.keypoint_scores", config, "first.pth", "--out", "out"]
    process = start(*tool, "--cfg-options", *NO_WORKERS, cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, process.stderr[-3000:]
    table = (tmp_path / "out/keypoint_scores.md").read_text().splitlines()
    assert [cell.strip() for cell in table[4].split("|")[1:4]] == ["one", "-", "0.500"]


@pytest.mark.slow
def test_a_config_that_tests_on_detected_boxes_is_judged_on_annotated_ones(people, tmp_path):
    """Detections have visible placeholder keypoints (0, 0). If they were labels, no prediction would be correct."""
    annotations = json.loads((people / "annotations/person_keypoints_val.json").read_text())["annotations"]
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in annotations]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    config = tmp_path / "detected.py"
    config.write_text(
        f"_base_ = {str(TINY)!r}\n"
        f"test_dataloader = dict(dataset=dict(bbox_file={str(tmp_path / 'boxes.json')!r}))\n"
        "test_evaluator = [dict(type='CocoMetric')]\n"
    )
    torch.save(
        dict(state_dict=randomise(MODELS.build(Config.fromfile(str(TINY)).model)).state_dict()), tmp_path / "moved.pth"
    )
    tool = [sys.executable, "-m", "benchmarks.keypoint_scores"]
    tables = []
    for path in (config, TINY):
        process = start(
            *tool, path, tmp_path / "moved.pth", "--out", path.stem, "--cfg-options", *NO_WORKERS,
            cwd=tmp_path, SYNTHETIC_ROOT=people,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr[-3000:]
        assert "Evaluated on annotated boxes." in process.stdout
        tables.append((tmp_path / path.stem / "keypoint_scores.md").read_text())
    assert tables[0] == tables[1]
    assert "nan" not in tables[0]


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [
        (dict(type="CocoSubmission", folder="out"), "The config tests on data without annotations"),
        (dict(type="CocoMetric"), "The annotation file nowhere/annotations/person_keypoints_val.json does not exist"),
    ],
)
def test_data_without_annotations_are_refused(tmp_path, evaluator, message):
    config = tmp_path / "without.py"
    config.write_text(
        f"_base_ = {str(TINY)!r}\ntest_dataloader = dict(dataset=dict(data_root='nowhere'))\n"
        f"test_evaluator = [{evaluator!r}]\n"
    )
    with pytest.raises(UserError, match=message):
        compare_scores(config, "none.pth", tmp_path)


def test_only_numbers_are_kept_of_a_batch():
    """Neither samples nor heat maps of the whole data set stay in memory."""
    codec = dict(input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
    batch = [PoseDataSample(metainfo=dict(input_center=np.array([50.0, 80.0]), input_scale=np.array([60.0, 80.0])))]
    batch[0].gt_instances = InstanceData(
        bboxes=np.array([[0.0, 0.0, 60.0, 80.0]]), keypoints=np.zeros((1, 2, 2)), keypoints_visible=np.ones((1, 2))
    )
    batch[0].pred_instances = InstanceData(keypoints=np.zeros((1, 2, 2)), keypoint_scores=np.full((1, 2), 0.5))
    batch[0].pred_fields = PixelData(heatmaps=torch.rand(2, 32, 24))
    sample, heatmaps = weakref.ref(batch[0]), weakref.ref(batch[0].pred_fields.heatmaps)
    keep = KeepScores(codec)
    keep.after_test_iter(None, 0, None, batch)
    del batch
    gc.collect()
    assert sample() is None
    assert heatmaps() is None
    ((scores, right),) = keep.keypoints
    assert (scores.tolist(), right.tolist()) == ([0.5, 0.5], [True, True])
    assert [maxima.shape for maxima in keep.maxima] == [(2,)]

from __future__ import annotations

import json
import re
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from mmpose.codecs import UDPHeatmap
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from benchmarks.keypoint_scores import read_maxima
from tests.helpers.models import randomise
from tests.helpers.paths import TINY
from tests.helpers.processes import NO_WORKERS, start, succeed


def test_maxima_are_read_in_the_image():
    """Decoding the heat map of a keypoint gives the keypoint in pixels of the image."""
    label = np.array([[[0.25, 0.5], [0.75, 0.125]]], dtype=np.float32)  # (x, y); 1 is the centre of the last pixel
    drawn = UDPHeatmap((96, 128), (24, 32), sigma=2).encode(label * (95, 127))["heatmaps"]
    sample = PoseDataSample(metainfo=dict(input_center=np.array([50.0, 80.0]), input_scale=np.array([60.0, 80.0])))
    sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)))
    sample.pred_fields = PixelData(heatmaps=torch.from_numpy(drawn))
    (read,) = read_maxima([sample], dict(input_size=(96, 128), heatmap_size=(24, 32), sigma=2))
    np.testing.assert_allclose(read.pred_instances.keypoints, label * (60, 80) + (20, 40), atol=0.1)


@pytest.mark.slow
def test_a_row_for_each_score(people, tmp_path):
    """A config with detected boxes is judged on annotated ones; without AP the column is empty."""
    annotations = json.loads((people / "annotations/person_keypoints_val.json").read_text())["annotations"]
    boxes = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.9) for a in annotations]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    detected = f"test_dataloader = dict(dataset=dict(bbox_file={str(tmp_path / 'boxes.json')!r}))\n"
    maps = "model = dict(head=dict(start=dict(type='KeypointMapStart')))\n"
    tables = {}
    for name, text in dict(
        detected=f"{maps}{detected}test_evaluator = [dict(type='CocoMetric')]\n",
        annotated=maps,
        pck=f"{maps}test_evaluator = [dict(type='PCKAccuracy', thr=0.2)]\n",
    ).items():
        config = tmp_path / f"{name}.py"
        config.write_text(f"_base_ = {str(TINY)!r}\n{text}")
        if not tables:
            model = randomise(MODELS.build(Config.fromfile(str(config)).model))
            torch.save(dict(state_dict=model.state_dict()), tmp_path / "moved.pth")
        tool = [sys.executable, "-m", "benchmarks.keypoint_scores", config, tmp_path / "moved.pth", "--out", name]
        process = start(*tool, "--cfg-options", *NO_WORKERS, cwd=tmp_path, SYNTHETIC_ROOT=people)
        succeed(process)
        assert "Evaluated on annotated boxes." in process.stdout
        tables[name] = (tmp_path / name / "keypoint_scores.md").read_text().splitlines()
    assert tables["detected"] == tables["annotated"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables["annotated"][4:7]]
    assert [row[0] for row in rows] == ["one", "heatmap", "keypoint_map"]
    assert rows[0][2:5:2] == ["0.500", "1.000"]
    assert len({row[5] for row in rows}) == 1  # scores do not change the keypoints
    assert rows[1][4] != rows[2][4]
    _, maxima, coordinates = re.findall(r"[01]\.\d+", "0.0 " + tables["annotated"][-1])
    assert coordinates == rows[0][5]
    assert maxima != coordinates
    assert [cell.strip() for cell in tables["pck"][4].split("|")[1:4]] == ["one", "-", "0.500"]
    assert cv2.imread(str(tmp_path / "annotated/keypoint_scores.png")) is not None

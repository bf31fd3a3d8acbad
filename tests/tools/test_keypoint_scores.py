from __future__ import annotations

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

from tests.helpers.models import randomise
from tests.helpers.paths import TINY
from tests.helpers.processes import SMALL, start
from tfpose_mm.tools.keypoint_scores import read_maxima, scorings

SIGMA = ["model.head.sigma=True", "model.head.loss.sigma_layers=all"]


def test_a_head_is_asked_only_for_what_it_has():
    cfg = Config.fromfile(str(TINY))
    assert scorings(cfg) == [None, "heatmap"]
    cfg.model.head.update(aux_branch=False, sigma=True)
    assert scorings(cfg) == [None, "sigma"]
    cfg.model.head.type = "RLEHead"
    assert scorings(cfg) == [None]


def test_maxima_are_read_in_the_image():
    """A heat map drawn for a keypoint gives the keypoint back, by way of the crop."""
    codec = dict(input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
    label = np.array([[[0.25, 0.5], [0.75, 0.125]]], dtype=np.float32)  # (x, y), 1 is the centre of the last pixel
    drawn = UDPHeatmap((96, 128), (24, 32), sigma=2).encode(label * (95, 127))["heatmaps"]
    sample = PoseDataSample(metainfo=dict(input_center=np.array([50.0, 80.0]), input_scale=np.array([60.0, 80.0])))
    sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)))
    sample.pred_fields = PixelData(heatmaps=torch.from_numpy(drawn))
    (read,) = read_maxima([sample], codec)
    np.testing.assert_allclose(read.pred_instances.keypoints, label * (60, 80) + (20, 40), atol=0.1)


@pytest.mark.slow
def test_a_row_for_each_score(people, tmp_path):
    cfg = Config.fromfile(str(TINY))
    cfg.merge_from_dict({"model.head.sigma": True, "model.head.loss.sigma_layers": "all"})
    torch.save(dict(state_dict=randomise(MODELS.build(cfg.model)).state_dict()), tmp_path / "moved.pth")
    tool = [sys.executable, "-m", "tfpose_mm.tools.keypoint_scores", TINY, "moved.pth", "--out", "out"]
    process = start(*tool, "--cfg-options", *SMALL[5:], *SIGMA, cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, process.stderr[-3000:]
    table = (tmp_path / "out/keypoint_scores.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["1.0", "heatmap", "sigma"]
    assert rows[0][2:5:2] == ["0.500", "1.000"]
    assert len({row[5] for row in rows}) == 1  # scores move no keypoint
    assert rows[1][4] != rows[2][4]
    maxima, coordinates = re.findall(r"[01]\.\d+", table.splitlines()[-1])
    assert coordinates == rows[0][5]
    assert maxima != coordinates
    assert cv2.imread(str(tmp_path / "out/keypoint_scores.png")) is not None


@pytest.mark.slow
def test_without_ap_the_column_is_empty(people, tmp_path):
    config = tmp_path / "pck.py"
    config.write_text(f"_base_ = {str(TINY)!r}\ntest_evaluator = [dict(type='PCKAccuracy', thr=0.2)]\n")
    torch.save(dict(state_dict=MODELS.build(Config.fromfile(str(TINY)).model).state_dict()), tmp_path / "first.pth")
    tool = [sys.executable, "-m", "tfpose_mm.tools.keypoint_scores", config, "first.pth", "--out", "out"]
    process = start(*tool, "--cfg-options", *SMALL[5:], cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, process.stderr[-3000:]
    table = (tmp_path / "out/keypoint_scores.md").read_text().splitlines()
    assert [cell.strip() for cell in table[2].split("|")[1:4]] == ["1.0", "-", "0.500"]

from __future__ import annotations

import json
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from tests.helpers.paths import TINY
from tests.helpers.processes import NO_WORKERS, start
from tfpose_mm.analysis.figures import (
    body_keypoints,
    draw_figures,
    example_skeleton,
    pattern_ratio,
    symmetric_pairs,
)
from tfpose_mm.analysis.recording import InstanceRecord
from tfpose_mm.datasets.config_data import keypoint_names


@pytest.fixture
def config(people, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    return Config.fromfile(str(TINY))


def test_pictures_and_arrays(config, checkpoint, tmp_path):
    folder = tmp_path / "run/vis_data"
    folder.mkdir(parents=True)
    lines = [{"coco/AP": 0.1, "step": 4}, {"loss": 1.0, "step": 5}, {"coco/AP": 0.3, "step": 8}]
    (folder / "scalars.json").write_text("\n".join(json.dumps(line) for line in lines))
    logs = [f"with heat maps={tmp_path}/run"]
    pictures = draw_figures(
        config, checkpoint, out=tmp_path / "out", persons=(0, 3), keypoints=["nose"], pixel=(4, 9), logs=logs
    )
    names = [path.stem for path in pictures]
    assert [name for name in names if not name.startswith("fig8") and not name.startswith("fig9")] == [
        "fig5_curves",
        "layer_errors",
        "fig6_query_attention",
        "person0_fig7_sampling_points",
        "person0_fig11_nose",
        "person0_refinement",
        "person0_encoder",
        "person3_fig7_sampling_points",
        "person3_fig11_nose",
        "person3_refinement",
        "person3_encoder",
        "fig10_qualitative",
    ]
    assert len(names) == 14
    for path in pictures:
        assert cv2.imread(str(path)).std() > 5, path
        assert path.with_suffix(".npz").is_file()
    points = np.load(tmp_path / "out/person3_fig7_sampling_points.npz")
    assert points["locations"].shape[::2] == (12, 2)
    assert points["names"][0] == "left_shoulder"
    curve = np.load(tmp_path / "out/fig5_curves.npz")["0 with heat maps"]
    assert curve.tolist() == [[4, 0.1], [8, 0.3]]


def test_patterns():
    attention = np.full((4, 4), 0.1)
    attention[0, 1] = attention[1, 0] = 0.5
    assert pattern_ratio(attention, [(0, 1)]) == pytest.approx(0.5 / ((0.1 * 10 + 1.0) / 12))
    assert pattern_ratio(np.full((4, 4), 0.25), [(0, 1), (2, 3)]) == pytest.approx(1)
    metainfo = dict(
        flip_indices=[0, 2, 1], num_keypoints=3, keypoint_id2name={0: "nose", 1: "left_eye", 2: "right_eye"}
    )
    assert symmetric_pairs(metainfo) == [(1, 2)]
    assert keypoint_names(metainfo) == ["nose", "left_eye", "right_eye"]
    assert body_keypoints(["nose", "left_hip"]) == [1]
    assert body_keypoints(["nose", "left_eye"]) == [0, 1]
    assert body_keypoints(["Nearknee", "forearm", "right-ear", "eyes"]) == [0, 1]


def test_the_skeleton_is_of_a_person_who_faces_the_camera():
    def record(points, labelled=(True, True, True)):
        points = np.array(points, dtype=float)
        return InstanceRecord(None, points, np.array(labelled), points[None], None, None)

    side, front = record([[5, 0], [5, 9], [6, 9]]), record([[5, 0], [1, 9], [9, 9]])
    hidden = record([[5, 0], [0, 9], [30, 9]], labelled=(True, False, False))
    assert np.array_equal(example_skeleton([side, front, hidden], [(1, 2)]), front.target)
    assert example_skeleton([side], []).shape == (3, 2)


@pytest.mark.slow
def test_the_tool(checkpoint, people, tmp_path):
    tool = [sys.executable, "-m", "tfpose_mm", "figures", "tfpose_tiny_synthetic_128x96", checkpoint, "--out", "out"]
    process = start(*tool, "--limit", 2, "--cfg-options", *NO_WORKERS[:1], cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert process.returncode == 0, process.stderr[-3000:]
    assert "out/fig6_query_attention.png" in process.stdout.splitlines()
    wrong = start(*tool, "--keypoints", "left_wing", cwd=tmp_path, SYNTHETIC_ROOT=people)
    assert wrong.returncode == 2
    assert "ankle, but got left_wing: correct the name" in wrong.stderr.splitlines()[-1]

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from tests.helpers.processes import in_process_config
from tfpose_mm.analysis.figures import body_keypoints, draw_figures, example_skeleton, pattern_ratio, symmetric_pairs
from tfpose_mm.analysis.recording import InstanceRecord
from tfpose_mm.errors import UserError


def test_pictures_and_arrays(people, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    cfg = in_process_config(tmp_path)
    lines = [{"coco/AP": 0.1, "step": 4}, {"loss": 1.0, "step": 5}, {"coco/AP": 0.3, "step": 8}]
    (tmp_path / "scalars.json").write_text("\n".join(json.dumps(line) for line in lines))
    logs = [f"with heat maps={tmp_path}"]
    pictures = draw_figures(cfg, checkpoint, out=tmp_path / "out", persons=(0, 3), keypoints=["nose"], logs=logs)
    assert [path.stem.partition("_layer")[0] for path in pictures] == [
        *("fig5_curves", "layer_errors", "fig6_query_attention"),
        *("fig8_symmetric", "fig9_adjacent", "fig10_qualitative"),
        *("person0_fig7_sampling_points", "person0_fig11_nose", "person0_refinement"),
        *("person3_fig7_sampling_points", "person3_fig11_nose", "person3_refinement"),
    ]
    assert str(pictures).splitlines() == [str(path) for path in pictures]
    for path in pictures:
        assert cv2.imread(str(path)).std() > 5, path
        assert path.with_suffix(".npz").is_file()
    points = np.load(tmp_path / "out/person3_fig7_sampling_points.npz")
    assert points["locations"].shape[::2] == (12, 2)
    assert points["names"][0] == "left_shoulder"
    curve = np.load(tmp_path / "out/fig5_curves.npz")["0 with heat maps"]
    assert curve.tolist() == [[4, 0.1], [8, 0.3]]
    with pytest.raises(UserError, match="ankle, but got left_wing: correct the name"):
        draw_figures(cfg, checkpoint, out=tmp_path / "wrong", keypoints=["left_wing"], limit=1)


def test_patterns():
    attention = np.full((4, 4), 0.1)
    attention[0, 1] = attention[1, 0] = 0.5
    assert pattern_ratio(attention, [(0, 1)]) == pytest.approx(0.5 / ((0.1 * 10 + 1.0) / 12))
    assert pattern_ratio(np.full((4, 4), 0.25), [(0, 1), (2, 3)]) == pytest.approx(1)
    assert symmetric_pairs(dict(flip_indices=[0, 2, 1])) == [(1, 2)]
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

from __future__ import annotations

import json

import pytest

from tfpose_mm.analysis.training_log import read_curve, read_losses
from tfpose_mm.errors import UserError


def write(folder, name, entries):
    path = folder / name / "vis_data"
    path.mkdir(parents=True)
    (path / "scalars.json").write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_a_resumed_training_is_one_curve(tmp_path):
    def entry(step, loss, **values):
        return dict(lr=0.1, loss=loss, epoch=1, iter=step, memory=5, time=0.1, data_time=0.0, step=step, **values)

    first = [entry(1, 3.0), entry(2, 2.0), {"coco/AP": 0.1, "time": 1.0, "step": 1}, entry(3, 1.5)]
    write(tmp_path, "20260101_000000", first)
    second = [entry(3, 1.0, acc_pose=0.5), entry(4, 0.5), {"coco/AP": 0.2, "time": 1.0, "step": 2}]
    write(tmp_path, "20260102_000000", second)
    losses = read_losses(tmp_path)
    assert losses == dict(acc_pose={3: 0.5}, loss={1: 3.0, 2: 2.0, 3: 1.0, 4: 0.5}, lr=dict.fromkeys((1, 2, 3, 4), 0.1))
    assert list(losses["loss"]) == [1, 2, 3, 4]
    assert read_curve("run", tmp_path, "coco/AP").values == {1: 0.1, 2: 0.2}


def test_what_the_log_lacks_is_named(tmp_path):
    with pytest.raises(UserError, match=r"must have the log of a training, vis_data/scalars.json, but has none"):
        read_losses(tmp_path)
    write(tmp_path, "run", [{"coco/AP": 0.1, "step": 1}])
    with pytest.raises(UserError, match=r"must have the metric PCK, but has coco/AP: choose another"):
        read_curve("run", tmp_path, "PCK")


def test_an_unfinished_last_line_is_left_out(tmp_path):
    (tmp_path / "scalars.json").write_text('{"coco/AP": 0.1, "step": 1}\n{"coco/AP": 0.2, "st')
    assert read_curve("run", tmp_path, "coco/AP").values == {1: 0.1}
    (tmp_path / "scalars.json").write_text('{"coco/AP": 0.1, "st\n{"coco/AP": 0.2, "step": 2}\n')
    with pytest.raises(UserError, match=r"Line 1 of .*scalars.json must be JSON, but is not"):
        read_curve("run", tmp_path, "coco/AP")

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from benchmarks import paired_bootstrap
from benchmarks.runs import Run, config_hash
from tests.helpers.paths import TINY
from tfpose_mm.errors import UserError


def sample(errors, labelled):
    """A person in a box of 100 x 200, whose keypoints have the given errors in longer sides of the box."""
    points = np.random.default_rng(0).uniform(0, 100, (1, len(errors), 2))
    labelled, box = np.array([labelled], dtype=float), np.array([[10.0, 20.0, 110.0, 220.0]])
    person = PoseDataSample()
    person.gt_instances = InstanceData(keypoints=points, keypoints_visible=labelled, bboxes=box)
    person.pred_instances = InstanceData(keypoints=points + 200 * np.array(errors)[:, None] * np.array([0.6, 0.8]))
    return person


def test_grades():
    persons = [sample([0.05, 0.15, 0.3, 0.05], [1, 1, 1, 0]), sample([0.0, 0.199, 0.099, 9.0], [1, 1, 1, 1])]
    assert paired_bootstrap.grade(persons) == ["3210", "3231"]


def test_pck_is_the_mean_over_keypoints_and_seeds():
    grades = np.array([[[3, 0, 1], [1, 0, 2]], [[3, 0, 2], [3, 0, 2]]])  # 2 seeds, 2 persons, 3 keypoints
    assert paired_bootstrap.pck(grades, 0, np.ones((1, 2)))[0] == pytest.approx(((0.5 + 0.5) / 2 + (1 + 1) / 2) / 2)
    only_first = np.array([[2.0, 0.0]])
    assert paired_bootstrap.pck(grades, 1, only_first)[0] == pytest.approx(((1 + 0) / 2 + (1 + 0) / 2) / 2)


def test_the_interval_is_that_of_paired_persons():
    """B is right on 30 more of 400 persons: the difference is certain, although each PCK varies by more."""
    right = np.arange(400) < 200
    grades = {"A": np.where(right, 3, 1), "B": np.where(right | (np.arange(400) >= 370), 3, 1)}
    rows = paired_bootstrap.compare({name: g[None, :, None] for name, g in grades.items()}, "A", draws=4000)
    assert rows[1][:3] == ["A", "1", "0.500"]
    assert rows[2][2:4] == ["0.575", "+0.075"]
    low, high = (float(value) for value in rows[2][4].split(" to "))
    error = 1.96 * np.sqrt(0.075 * 0.925 / 400)
    assert low == pytest.approx(0.075 - error, abs=0.004)
    assert high == pytest.approx(0.075 + error, abs=0.004)


def test_stored_grades_need_no_checkpoints(tmp_path, monkeypatch, capsys):
    def call(*options):
        command = ["paired_bootstrap", plan, "--results", tmp_path, "--out", tmp_path / "out", *options]
        monkeypatch.setattr(sys, "argv", [*map(str, command)])
        paired_bootstrap.main()

    runs = [dict(name="A", config=str(TINY)), dict(name="B", config=str(TINY), seeds=[1, 2])]
    plan = tmp_path / "plan.yaml"
    plan.write_text("metric: PCK@0.2/PCK\nruns:\n" + "".join(f"  - {json.dumps(run)}\n" for run in runs))
    with pytest.raises(UserError, match=r"has no run C: choose one of A, B\."):
        call("--reference", "C")
    with pytest.raises(UserError, match=r"A, seed 0 has no checkpoint in .*: train it with head_to_head\."):
        call()
    jobs = [Run(name, str(TINY), {}, seed, tmp_path) for name, seed in (("A", 0), ("B", 1), ("B", 2))]
    grades = dict(zip(map(config_hash, jobs), (["31", "11"], ["32", "12"], ["33", "33"])))
    (tmp_path / "grades").mkdir(exist_ok=True)
    (tmp_path / "grades/plan.json").write_text(json.dumps(grades), encoding="utf-8")
    call("--draws", "10")
    table = capsys.readouterr().out
    assert (tmp_path / "plan_bootstrap.md").read_text(encoding="utf-8") == table
    first, second = (line.strip("|").replace(" ", "").split("|") for line in table.splitlines()[-2:])
    assert first[:3] == ["A", "1", "0.250"]
    assert second[:4] == ["B", "2", "0.875", "+0.625"]

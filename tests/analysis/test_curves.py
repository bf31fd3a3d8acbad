from __future__ import annotations

import json

import pytest
from matplotlib.figure import Figure

from tfpose_mm.analysis.curves import Curve, draw_curves, read_curves, read_log
from tfpose_mm.errors import UserError


def test_every_name_has_a_look_of_its_own_which_seeds_and_panels_share(monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **options: figures.append(self))
    curves = [Curve(f"model {index}", {2: index / 10, 1: 0.0}) for index in range(13)]
    curves.append(Curve("model 3", {1: 0.05, 2: 0.25}))
    draw_curves({"PCK@0.2": curves, "lr": [Curve("model 3", {1: 0.1})]}, "unused", "iteration")
    assert [axis.get_title() for axis in figures[0].axes] == ["PCK@0.2", "lr"]
    panels = [axis.get_lines() for axis in figures[0].axes]
    looks = [[(line.get_color(), line.get_linestyle()) for line in lines] for lines in panels]
    assert (len(looks[0]), len(set(looks[0]))) == (14, 13)
    assert looks[1] == [looks[0][9]]  # curves are drawn from the best to the worst
    assert [line.get_ydata().tolist() for line in panels[0][9:11]] == [[0.0, 0.3], [0.05, 0.25]]
    assert all(list(line.get_xdata()) == [1, 2] for line in panels[0])
    (legend,) = figures[0].legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == "model 12"  # the best
    assert "model 3 (2 seeds)" in labels
    assert len(labels) == 13


def write(folder, name, entries):
    path = folder / name / "vis_data"
    path.mkdir(parents=True)
    (path / "scalars.json").write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"coco/AP": 0.')


def test_a_resumed_training_is_one_curve(tmp_path):
    """A line that is not finished is left out."""

    def entry(step, loss, **values):
        return dict(lr=0.1, loss=loss, epoch=1, iter=step, memory=5, time=0.1, data_time=0.0, step=step, **values)

    first = [entry(1, 3.0), entry(2, 2.0), {"coco/AP": 0.1, "time": 1.0, "step": 1}, entry(3, 1.5)]
    write(tmp_path, "20260101_000000", first)
    second = [entry(3, 1.0, acc_pose=0.5), entry(4, 0.5), {"coco/AP": 0.2, "time": 1.0, "step": 2}]
    write(tmp_path, "20260102_000000", second)
    losses = read_log(tmp_path, training=True)
    assert losses == dict(acc_pose={3: 0.5}, loss={1: 3.0, 2: 2.0, 3: 1.0, 4: 0.5}, lr=dict.fromkeys((1, 2, 3, 4), 0.1))
    assert list(losses["loss"]) == [1, 2, 3, 4]
    assert read_curves([("run", tmp_path)]) == ("coco/AP", [Curve("run", {1: 0.1, 2: 0.2})])


def test_a_run_replaces_what_follows_its_first_step(tmp_path):
    """A training that starts anew replaces all, also validations that it has not reached."""

    def run(name, *steps):
        entries = [{"loss": step + len(name), "iter": step, "step": step} for step in steps]
        write(tmp_path, name, [*entries, {"coco/AP": steps[-1] / 10, "step": steps[-1] // 10}])

    def steps():
        return list(read_log(tmp_path, training=True)["loss"]), read_log(tmp_path)["coco/AP"]

    run("1", 10, 20)
    run("2", 30, 40, 50)
    assert steps() == ([10, 20, 30, 40, 50], {2: 2.0, 5: 5.0})
    run("3", 40)  # resumed from iteration 30
    assert steps() == ([10, 20, 30, 40], {2: 2.0, 4: 4.0})
    write(tmp_path, "4", [{"coco/AP": 0.5, "step": 0}])  # a validation without a training
    assert steps() == ([10, 20, 30, 40], {0: 0.5, 2: 2.0, 4: 4.0})
    write(tmp_path, "5", [{"loss": 0.5, "iter": 10, "step": 10}])
    assert read_log(tmp_path, training=True) == dict(loss={10: 0.5})
    assert read_log(tmp_path) == {}
    run("6", 20)
    write(tmp_path, "7", [{"coco/AP": 0.7, "step": 1}])  # starts anew, and logs no iteration
    assert read_log(tmp_path) == {"coco/AP": {1: 0.7}}


def test_what_the_log_lacks_is_named(tmp_path):
    write(tmp_path, "run", [{"coco/AP": 0.1, "step": 1}])
    write(tmp_path, "training", [{"loss": 1.0, "iter": 1, "step": 1}])
    write(tmp_path, "other", [{"NME": 0.1, "step": 1}])
    for names, metric, message in (
        (["run"], "PCK", "run must have the metric PCK, but has coco/AP: choose another"),
        (["training"], None, "must have the metric coco/AP, but has no validation"),
        (["run", "other"], None, "other must have the metric coco/AP, but has NME"),
    ):
        with pytest.raises(UserError, match=message):
            read_curves([(name, tmp_path / name) for name in names], metric)

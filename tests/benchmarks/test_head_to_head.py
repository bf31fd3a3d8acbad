from __future__ import annotations

import json
import sys

import cv2
import pytest

from benchmarks import head_to_head
from tests.helpers.paths import ROOT, TINY
from tests.helpers.processes import SMALL, start
from tfpose_mm.errors import UserError


def write_plan(folder, *runs):
    (folder / "plan.yaml").write_text(
        "metric: PCK@0.2/PCK\nruns:\n" + "".join(f"  - {json.dumps(run)}\n" for run in runs)
    )
    return folder / "plan.yaml"


def record(folder, *lines):
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def begin(job, *lines):
    """A run as head_to_head has begun it, with logged lines."""
    record(job.folder / "1/vis_data", *lines)
    (job.folder / "config_hash").write_text(head_to_head.config_hash(job))


def table_of(process):
    """The lines of the table; MMEngine prints to the same stream."""
    return [line for line in process.stdout.splitlines() if line.startswith("|")]


def check(job):
    head_to_head.check_unchanged(job, head_to_head.config_hash(job))


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_resumed_training_is_one_curve(tmp_path):
    job = head_to_head.Run("TFPose", str(TINY), {}, 0, tmp_path)
    train = {"loss": 1.0, "time": 0.1, "step": 3}
    record(
        tmp_path / "1/vis_data", train, {"PCK@0.2/PCK": 0.3, "coco/AP": 0.1, "data_time": 0.1, "time": 1.0, "step": 2}
    )
    record(tmp_path / "2/vis_data", {"PCK@0.2/PCK": 0.4, "step": 2}, {"PCK@0.2/PCK": 0.5, "step": 4})
    assert head_to_head.collect(job) == {"PCK@0.2/PCK": {2: 0.4, 4: 0.5}, "coco/AP": {2: 0.1}}


def test_seeds_are_averaged_and_what_is_missing_is_said(tmp_path):
    runs = [head_to_head.Run(name, str(TINY), {}, seed, tmp_path) for name, seed in (("A", 0), ("A", 1), ("B", 0))]
    results = [{"PCK": {1: 0.1, 2: 0.4}, "coco/AP": {1: 0.0, 2: 0.2}}, {"PCK": {2: 0.6}, "coco/AP": {2: 0.4}}, {}]
    lines = head_to_head.format_results("PCK", runs, results).splitlines()
    assert cells(lines[2]) == ["A", "2", "0.500", "0.400, 0.600", "0.300"]
    assert cells(lines[3]) == ["B", "-", "not trained yet", "", ""]
    assert len({line.count("|") for line in lines}) == 1
    without = head_to_head.format_results("PCK", runs[:1], [{"PCK": {2: 0.4}}]).splitlines()
    assert len({line.count("|") for line in without}) == 1


def test_a_diverged_training_is_said_to_be_one(tmp_path):
    """COCO's evaluation gives NaN predictions an AP of 1."""
    (job,) = head_to_head.read_plan(write_plan(tmp_path, dict(name="A", config=str(TINY))), tmp_path)[1]
    logged = [{"loss": 1.0, "step": 1}, {"loss": float("nan"), "step": 50}, {"coco/AP": 1.0, "step": 2}]
    record(job.folder / "1/vis_data", *logged)
    result = head_to_head.collect(job)
    assert result == {"diverged": {50: 0.0}}
    table = head_to_head.format_results("coco/AP", [job], [result])
    assert cells(table.splitlines()[2])[:3] == ["A", "-", "diverged"]


def test_a_finished_run_of_another_plan_is_not_trained_again(tmp_path, monkeypatch, capsys):
    plan = write_plan(tmp_path, dict(name="A", config=str(TINY)), dict(name="B", config=str(TINY), seeds=[3]))
    first, second = head_to_head.read_plan(plan, tmp_path / "out")[1]
    results = {"PCK@0.2/PCK": {2: 0.3}, "PCK@0.1/PCK": {2: 0.1}}
    entries = [dict(hash=head_to_head.config_hash(first), finished=True, results=results)]
    entries += [dict(hash=head_to_head.config_hash(second), finished=False, results={}), dict(name="without a hash")]
    (tmp_path / "other.json").write_text(json.dumps(entries))
    trained = []
    monkeypatch.setattr(head_to_head, "train", lambda job, *_: trained.append(job.name) or True)
    arguments = [str(plan), "--out", str(tmp_path / "out"), "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["head_to_head", *arguments])
    assert head_to_head.main() == 0
    assert trained == ["B"]
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines[0]) == ["model", "epochs", "PCK@0.2", "each seed", "PCK@0.1"]
    assert cells(lines[2]) == ["A", "2", "0.300", "0.300", "0.100"]
    written = json.loads((tmp_path / "plan.json").read_text())
    assert [entry["finished"] for entry in written] == [True, False]
    monkeypatch.setattr(sys, "argv", ["head_to_head", *arguments, "--again"])
    head_to_head.main()
    assert trained == ["B", "A", "B"]


def test_a_diverged_seed_hides_no_other(tmp_path, monkeypatch, capsys):
    plan = write_plan(tmp_path, dict(name="A", config=str(TINY), seeds=[0, 1]))
    first, second = head_to_head.read_plan(plan, tmp_path / "out")[1]
    begin(first, {"loss": float("inf"), "step": 50})
    begin(second, {"PCK@0.2/PCK": 0.3, "step": 2})
    monkeypatch.setattr(
        sys,
        "argv",
        ["head_to_head", str(plan), "--out", str(tmp_path / "out"), "--results", str(tmp_path), "--collect"],
    )
    assert head_to_head.main() == 1
    shown = capsys.readouterr()
    assert cells(shown.out.splitlines()[2]) == ["A", "2", "0.300", "0.300, diverged"]
    assert (
        "A, seed 0 diverged: its loss was NaN or infinite at step 50. Lower its learning rate and delete" in shown.err
    )


def test_the_command_is_one_mim_train(tmp_path):
    (_, (first, second)) = head_to_head.read_plan(
        write_plan(
            tmp_path, dict(name="No aux!", config=str(TINY), options={"model.head.aux_branch": False}, seeds=[0, 7])
        ),
        tmp_path / "out",
    )
    assert first.folder == tmp_path / "out/plan/no_aux/seed0"
    assert second.command[1:4] == ["train", "mmpose", str(TINY)]
    assert second.command[-3:] == ["--cfg-options", "model.head.aux_branch=False", "randomness.seed=7"]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([dict(name="a", config="nowhere.py")], "The config nowhere.py does not exist"),
        (
            [dict(name="a", config=str(TINY), option={})],
            "has name, config, option: it needs name and config, and takes",
        ),
        (
            [dict(name="a", config=str(TINY), seeds=1)],
            "it needs name and config, and takes options and a list of seeds",
        ),
        ([dict(name="a", config=str(TINY))] * 2, "Two runs of .* have the same name and seed"),
    ],
)
def test_what_a_plan_must_not_hold(tmp_path, runs, message):
    with pytest.raises(UserError, match=message):
        head_to_head.read_plan(write_plan(tmp_path, *runs), tmp_path)


@pytest.mark.slow
def test_two_trainings_end_in_a_table_and_curves(people, tmp_path, monkeypatch, capsys):
    options = dict(option.split("=", 1) for option in SMALL)
    runs = [dict(name=name, config=str(TINY), options={**options, **extra}) for name, extra in (
        ("with", {}), ("without", {"model.head.aux_branch": "False"}))]  # fmt: skip
    plan = write_plan(tmp_path, *runs)
    tool = [sys.executable, "-m", "benchmarks.head_to_head", plan, "--out", "out", "--jobs", 2, "--results", tmp_path]
    process = start(*tool, cwd=tmp_path, SYNTHETIC_ROOT=people, PYTHONPATH=ROOT)
    assert process.returncode == 0, process.stdout + process.stderr
    assert [line.split("|")[1].strip() for line in table_of(process)[2:]] == ["with", "without"]
    assert "not trained yet" not in process.stdout
    assert "loss_heatmap" in (tmp_path / "out/plan/with/seed0/log").read_text()
    assert "loss_heatmap" not in (tmp_path / "out/plan/without/seed0/log").read_text()
    numbers = json.loads((tmp_path / "plan.json").read_text())
    assert "PCK@0.2/PCK" in numbers[1]["results"]
    assert list(numbers[1]["results"]) == sorted(numbers[1]["results"])  # otherwise each call would write another file
    assert cv2.imread(str(tmp_path / "plan.png")) is not None
    logs = {path: path.read_bytes() for path in (tmp_path / "out").rglob("log")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in tool[2:]])
    assert head_to_head.main() == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")] == table_of(process)
    assert all(path.read_bytes() == content for path, content in logs.items())  # nothing was trained again
    plan.write_text(
        plan.read_text().replace('"train_dataloader.batch_size": "5"', '"train_dataloader.batch_size": "4"')
    )
    with pytest.raises(UserError, match="with, seed 0 was started before, but"):
        head_to_head.main()


def test_a_metric_that_nobody_measured_is_refused(tmp_path, monkeypatch):
    plan = write_plan(tmp_path, dict(name="A", config=str(TINY)))
    plan.write_text(plan.read_text().replace("PCK@0.2/PCK", "PCK@0.2"))
    begin(head_to_head.read_plan(plan, tmp_path / "out")[1][0], {"PCK@0.2/PCK": 0.3, "step": 2})
    monkeypatch.setattr(
        sys,
        "argv",
        ["head_to_head", str(plan), "--out", str(tmp_path / "out"), "--results", str(tmp_path), "--collect"],
    )
    with pytest.raises(ValueError, match=r"measured PCK@0\.2: choose one of PCK@0\.2/PCK"):
        head_to_head.main()


def test_a_plan_names_its_metric_and_runs(tmp_path):
    (tmp_path / "plan.yaml").write_text("runs: []\n")
    (tmp_path / "plan.txt").write_text("metric: AP\n")
    with pytest.raises(ValueError, match="has runs: a plan needs metric and runs"):
        head_to_head.read_plan(tmp_path / "plan.yaml", tmp_path)
    with pytest.raises(ValueError, match=r"plan.txt is not a plan: it must be a .yaml file"):
        head_to_head.read_plan(tmp_path / "plan.txt", tmp_path)
    (tmp_path / "plan.yaml").write_text("metric: PCK\nruns:\n")
    with pytest.raises(UserError, match="has no runs: give at least one"):
        head_to_head.read_plan(tmp_path / "plan.yaml", tmp_path)


@pytest.mark.slow
def test_a_failed_training_is_named_and_its_status_kept(tmp_path):
    plan = write_plan(tmp_path, dict(name="no data", config=str(TINY)))
    tool = [sys.executable, "-m", "benchmarks.head_to_head", plan, "--out", "out", "--results", tmp_path]
    process = start(*tool, cwd=tmp_path, SYNTHETIC_ROOT=tmp_path / "none", PYTHONPATH=ROOT)
    assert process.returncode == 1
    assert "no data, seed 0 failed: see out/plan/no_data/seed0/log" in process.stderr
    assert "not trained yet" in process.stdout


def test_options_of_the_plan_are_those_of_every_run(tmp_path):
    plan = write_plan(tmp_path, dict(name="A", config=str(TINY)), dict(name="B", config=str(TINY), options={"x": 2}))
    plan.write_text("options: {x: 1, y: 3}\n" + plan.read_text())
    first, second = head_to_head.read_plan(plan, tmp_path)[1]
    assert first.options == {"x": 1, "y": 3}
    assert second.options == {"x": 2, "y": 3}


def test_a_run_of_a_config_that_changed_is_refused(tmp_path):
    """Neither its path nor its options changed, but a value in its base did."""
    (tmp_path / "base.py").write_text(f"_base_ = {str(TINY)!r}\ntrain_cfg = dict(max_epochs=3)\n")
    (tmp_path / "child.py").write_text("_base_ = 'base.py'\n")
    plan = write_plan(tmp_path, dict(name="A", config=str(tmp_path / "child.py")))
    (job,) = head_to_head.read_plan(plan, tmp_path / "out")[1]
    check(job)
    begin(job)
    check(job)
    (tmp_path / "base.py").write_text(f"_base_ = {str(TINY)!r}\ntrain_cfg = dict(max_epochs=4)\n")
    with pytest.raises(
        UserError, match=r"seed 0 was started before, but .*child.py or its options have changed: delete"
    ):
        check(job)


def test_the_hash_follows_options_and_seed_but_not_the_folder_of_the_data(tmp_path, monkeypatch):
    def hash_of(options, seed):
        return head_to_head.config_hash(head_to_head.Run("A", str(TINY), options, seed, tmp_path))

    expected = hash_of({}, 0)
    assert hash_of({}, 1) != expected
    assert hash_of({"model.head.num_layers": 3}, 0) != expected
    for root in ("/elsewhere/data", "/elsewhere/data/", "data", ".", "/données"):
        monkeypatch.setenv("SYNTHETIC_ROOT", root)
        assert hash_of({}, 0) == expected, root


def test_the_hash_ignores_hooks_that_do_not_change_the_training(tmp_path):
    def hash_of(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(f"_base_ = {str(TINY)!r}\n{text}\n")
        return head_to_head.config_hash(head_to_head.Run("A", str(path), {}, 0, tmp_path))

    expected = hash_of("same", "")
    assert hash_of("interval", "default_hooks = dict(checkpoint=dict(interval=7, max_keep_ckpts=9))") == expected
    assert hash_of("no_hooks", "custom_hooks = []") == hash_of("resume", "custom_hooks = [dict(type='ResumeHook')]")
    assert hash_of("average", "custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook')]") != expected


def test_a_run_of_an_unknown_config_is_refused(tmp_path):
    (job,) = head_to_head.read_plan(write_plan(tmp_path, dict(name="A", config=str(TINY))), tmp_path / "out")[1]
    job.folder.mkdir(parents=True)
    (job.folder / "finished").touch()
    with pytest.raises(UserError, match=r"a/seed0 exists, but has no config_hash, .* delete .*a/seed0"):
        check(job)

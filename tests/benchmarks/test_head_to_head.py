from __future__ import annotations

import json
import sys

import cv2
import pytest

from benchmarks import head_to_head
from tests.helpers.paths import ROOT, TINY
from tests.helpers.processes import SMALL, start
from tfpose_mm.errors import UserError

A, B = dict(name="A", config=str(TINY)), dict(name="B", config=str(TINY), seeds=[3])


@pytest.fixture
def jobs_of(tmp_path):
    """Write a plan; return its runs."""

    def write(*runs, text="metric: PCK@0.2/PCK\n"):
        lines = "".join(f"  - {json.dumps(run)}\n" for run in runs)
        (tmp_path / "plan.yaml").write_text(f"{text}runs:\n{lines}")
        return head_to_head.read_plan(tmp_path / "plan.yaml", tmp_path / "out")[1]

    return write


@pytest.fixture
def main(tmp_path, monkeypatch):
    def call(*options):
        command = ["head_to_head", tmp_path / "plan.yaml", "--out", tmp_path / "out", "--results", tmp_path, *options]
        monkeypatch.setattr(sys, "argv", [*map(str, command)])
        return head_to_head.main()

    return call


def begin(job, *lines, part="1"):
    """A run as head_to_head has begun it, with logged lines."""
    (job.folder / part / "vis_data").mkdir(parents=True)
    (job.folder / part / "vis_data/scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (job.folder / "config_hash").write_text(head_to_head.config_hash(job))


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_resumed_training_is_one_curve_and_seeds_are_averaged(jobs_of):
    first, second, third = jobs_of(dict(A, seeds=[0, 1]), B)
    begin(first, {"loss": 1.0, "time": 0.1, "step": 3}, {"PCK@0.2/PCK": 0.3, "coco/AP": 0.1, "time": 1.0, "step": 2})
    begin(first, {"PCK@0.2/PCK": 0.4, "step": 2}, {"PCK@0.2/PCK": 0.5, "coco/AP": 0.2, "step": 4}, part="2")
    begin(second, {"PCK@0.2/PCK": 0.6, "coco/AP": 0.4, "step": 4})
    results = [head_to_head.collect(job) for job in (first, second, third)]
    assert results[0] == {"PCK@0.2/PCK": {2: 0.4, 4: 0.5}, "coco/AP": {2: 0.1, 4: 0.2}}
    lines = head_to_head.format_results("PCK@0.2/PCK", [first, second, third], results).splitlines()
    assert cells(lines[2]) == ["A", "4", "0.550", "0.500, 0.600", "0.300"]
    assert cells(lines[3]) == ["B", "-", "not trained yet", "", ""]
    assert len({line.count("|") for line in lines}) == 1


def test_a_diverged_seed_is_said_to_be_one_and_hides_no_other(jobs_of, main, capsys):
    """COCO's evaluation gives NaN predictions an AP of 1."""
    first, second = jobs_of(dict(A, seeds=[0, 1]))
    begin(first, {"loss": 1.0, "step": 1}, {"loss": float("nan"), "step": 50}, {"PCK@0.2/PCK": 1.0, "step": 2})
    begin(second, {"PCK@0.2/PCK": 0.3, "step": 2})
    assert head_to_head.collect(first) == {"diverged": {50: 0.0}}
    assert main("--collect") == 1
    shown = capsys.readouterr()
    assert cells(shown.out.splitlines()[2]) == ["A", "2", "0.300", "0.300, diverged"]
    assert "A, seed 0 diverged: its loss was NaN or infinite at step 50. Lower its learning rate" in shown.err


def test_a_finished_run_of_another_plan_is_not_trained_again(jobs_of, main, tmp_path, monkeypatch, capsys):
    first, second = jobs_of(A, B)
    results = {"PCK@0.2/PCK": {2: 0.3}, "PCK@0.1/PCK": {2: 0.1}}
    entries = [dict(hash=head_to_head.config_hash(first), finished=True, results=results)]
    entries += [dict(hash=head_to_head.config_hash(second), finished=False, results={}), dict(name="without a hash")]
    (tmp_path / "other.json").write_text(json.dumps(entries))
    trained = []
    monkeypatch.setattr(head_to_head, "train", lambda job, *_: trained.append(job.name) or True)
    assert main() == 0
    assert trained == ["B"]
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines[0]) == ["model", "epochs", "PCK@0.2", "each seed", "PCK@0.1"]
    assert cells(lines[2]) == ["A", "2", "0.300", "0.300", "0.100"]
    assert [entry["finished"] for entry in json.loads((tmp_path / "plan.json").read_text())] == [True, False]
    main("--again")
    assert trained == ["B", "A", "B"]


def test_a_plan(jobs_of, tmp_path):
    """Its options are those of each run; each run is one mim train."""
    options = {"model.head.aux_branch": False}
    run = dict(A, name="No aux!", options=options, seeds=[0, 7])
    first, second = jobs_of(run, text="metric: AP\noptions: {x: 1}\n")
    assert first.folder == tmp_path / "out/plan/no_aux/seed0"
    assert first.options == {"x": 1, **options}
    assert second.command[1:4] == ["train", "mmpose", str(TINY)]
    assert second.command[-3:] == ["x=1", "model.head.aux_branch=False", "randomness.seed=7"]
    for runs, text, message in (
        ([dict(A, config="nowhere.py")], "metric: AP\n", "The config nowhere.py does not exist"),
        ([dict(A, option={})], "metric: AP\n", "has name, config, option: it needs name and config, and takes"),
        ([A, A], "metric: AP\n", "Two runs of .* have the same name and seed"),
        ([], "metric: AP\n", "has no runs: give at least one"),
        ([A], "", "has runs: a plan needs metric and runs"),
    ):
        with pytest.raises(UserError, match=message):
            jobs_of(*runs, text=text)


@pytest.mark.slow
def test_trainings_end_in_a_table_and_curves(people, jobs_of, main, tmp_path, monkeypatch, capsys):
    options = dict(option.split("=", 1) for option in SMALL)
    nowhere = dict(options, **{"train_dataloader.dataset.data_root": "nowhere"})
    jobs_of(dict(A, options=options), dict(B, options=nowhere))
    tool = [sys.executable, "-m", "benchmarks.head_to_head", tmp_path / "plan.yaml", "--jobs", 2]
    tool += ["--out", tmp_path / "out", "--results", tmp_path]
    process = start(*tool, cwd=tmp_path, SYNTHETIC_ROOT=people, PYTHONPATH=ROOT)
    assert process.returncode == 1
    assert f"B, seed 3 failed: see {tmp_path}/out/plan/b/seed3/log" in process.stderr
    table = [line for line in process.stdout.splitlines() if line.startswith("|")]
    assert [cells(line)[0] for line in table[2:]] == ["A", "B"]
    assert "not trained yet" in table[3]
    numbers = json.loads((tmp_path / "plan.json").read_text())[0]["results"]
    assert "PCK@0.2/PCK" in numbers
    assert list(numbers) == sorted(numbers)  # otherwise each call would write another file
    assert cv2.imread(str(tmp_path / "plan.png")) is not None
    monkeypatch.setenv("SYNTHETIC_ROOT", str(people))
    jobs_of(dict(A, options=options))
    log = tmp_path / "out/plan/a/seed0/log"
    before = log.read_bytes()
    assert main() == 0
    assert log.read_bytes() == before  # not trained again
    assert cells(capsys.readouterr().out.splitlines()[2]) == cells(table[2])


def test_a_run_of_a_config_that_changed_is_refused(jobs_of, tmp_path):
    """Neither its path nor its options changed, but a value in its base did."""

    def check():
        head_to_head.check_unchanged(job, head_to_head.config_hash(job))

    (tmp_path / "base.py").write_text(f"_base_ = {str(TINY)!r}\ntrain_cfg = dict(max_epochs=3)\n")
    (tmp_path / "child.py").write_text("_base_ = 'base.py'\n")
    (job,) = jobs_of(dict(A, config=str(tmp_path / "child.py")))
    begin(job)
    check()
    (tmp_path / "base.py").write_text(f"_base_ = {str(TINY)!r}\ntrain_cfg = dict(max_epochs=4)\n")
    with pytest.raises(UserError, match=r"seed 0 was started before, but .*child.py or its options have changed"):
        check()
    (job.folder / "config_hash").unlink()
    with pytest.raises(UserError, match=r"a/seed0 exists, but has no config_hash, .* delete .*a/seed0"):
        check()


def test_the_hash_is_of_what_changes_a_training(tmp_path, monkeypatch):
    def hash_of(text="", options={}, seed=0):  # noqa: B006 - not changed
        path = tmp_path / "config.py"
        path.write_text(f"_base_ = {str(TINY)!r}\n{text}\n")
        return head_to_head.config_hash(head_to_head.Run("A", str(path), options, seed, tmp_path))

    expected = hash_of()
    assert expected not in (hash_of(seed=1), hash_of(options={"model.head.num_layers": 3}))
    assert hash_of("custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook')]") != expected
    assert hash_of("default_hooks = dict(checkpoint=dict(interval=7, max_keep_ckpts=9))") == expected
    assert hash_of("custom_hooks = []") == hash_of("custom_hooks = [dict(type='ResumeHook')]")
    for root in ("/elsewhere/data/", "data", ".", "/données"):
        monkeypatch.setenv("SYNTHETIC_ROOT", root)
        assert hash_of() == expected, root

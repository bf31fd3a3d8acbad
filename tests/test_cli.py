"""Command-line tools: a mistake of the user gives one sentence, and no file is overwritten."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.processes import start
from tfpose_mm.analysis.metrics_table import format_table
from tfpose_mm.datasets.synthetic import write_dataset
from tfpose_mm.engine.running import read_config
from tfpose_mm.errors import UserError
from tfpose_mm.tools import cli


def run_tool(name, *arguments, cwd=None):
    return start(sys.executable, "-m", f"tfpose_mm.tools.{name}", *arguments, cwd=cwd or ROOT)


def test_a_user_s_mistake_is_a_sentence(capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        cli.run(lambda: write_dataset(tmp_path / "people", 1, 1, level="medium"))
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: There is no level 'medium': choose one of easy, hard.\n"


def test_a_bug_keeps_its_traceback():
    def main():
        raise ValueError("from somewhere else")

    with pytest.raises(ValueError, match="somewhere else"):
        cli.run(main)


def test_a_known_failure_keeps_its_traceback_and_gets_a_fix(capsys):
    def main():
        raise RuntimeError("Weights only load failed: Unsupported global: HistoryBuffer")

    with pytest.raises(RuntimeError, match="Unsupported global"):
        cli.run(main)
    assert capsys.readouterr().err.startswith("fix: torch 2.6 and later refuse MMEngine's training checkpoints: import")


@pytest.mark.slow
def test_make_synthetic_from_any_folder(tmp_path):
    first = run_tool("make_synthetic", "people", "--train", 3, "--val", 2, "--level", "hard", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "Wrote 3 training and 2 validation instances to people" in first.stdout
    again = run_tool("make_synthetic", "people", "--train", 3, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr == "error: people exists already: delete it or choose another folder; nothing was written.\n"


def test_mpii_s_table_is_in_per_cent_and_the_paper_s_order():
    assert "| PCK | 0.500 |" in format_table({"PCK": 0.5})  # the PCK of PCKAccuracy, not of MPII
    table = format_table({"PCK": 0.5, "Head PCK": 98.04, "Ankle PCK": 82.55, "PCK@0.1": 40.0})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:-1]]
    assert cells == [["Head", "98.0"], ["Ank.", "82.5"], ["Total", "0.5"], ["Total@0.1", "40.0"]]


def test_metrics_of_one_prefix_keep_their_names():
    table = format_table({"crowdpose/AP": 0.5, "crowdpose/AP(E)": 0.6, "NME/NME": 0.1})
    assert [line.split("|")[1].strip() for line in table.splitlines()[1:-1]] == [
        "crowdpose/AP",
        "crowdpose/AP(E)",
        "NME",
    ]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.py", "The config .*nowhere.py does not exist"),
        ("README.md", r"README.md is not a config: MMEngine reads .py, .json and .yaml files"),
        ("configs/_base_/recipe.py", "builds no model, but this tool needs .* TopdownPoseEstimator"),
    ],
)
def test_what_is_no_config_is_refused(path, message):
    with pytest.raises(UserError, match=message):
        read_config(ROOT / path)


def test_table_says_what_was_not_measured():
    table = format_table({"coco/AP": 0.91234, "coco/AP (L)": -1.0, "coco/AR": 0.5, "PCK@0.2/PCK": 0.987})
    assert table.splitlines() == [
        "+------------+-------+",
        "| AP         | 0.912 |",
        "| AP (large) |   n/a |",
        "| AR         | 0.500 |",
        "| PCK@0.2    | 0.987 |",
        "+------------+-------+",
    ]


@pytest.mark.slow
def test_show_recipe_reports_problems():
    config = str(ROOT / "configs/tfpose_tiny_synthetic_128x96.py")
    good = run_tool("show_recipe", config)
    assert good.returncode == 0, good.stderr
    assert good.stdout.startswith("tfpose_tiny_synthetic_128x96\nmodel\n")
    assert good.stdout.endswith("checks\n    no problem found\n")
    bad = run_tool("show_recipe", config, "--cfg-options", "model.head.num_joints=14")
    assert bad.returncode == 1
    assert "The head predicts 14 keypoints, but train_dataloader has 17" in bad.stdout


def test_a_number_must_be_above_zero(capsys):
    parser = cli.make_parser("What the tool does.\n\nAnd what its words mean.")
    parser.add_argument("--repeats", type=cli.positive)
    assert parser.parse_args(["--repeats", "3"]).repeats == 3
    for wrong in ("0", "-1", "1.5", "many"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--repeats", wrong])
        assert f"must be a whole number above 0, but got '{wrong}'" in capsys.readouterr().err
    assert "And what its words mean." in parser.format_help()


def test_a_count_may_be_zero_but_not_negative():
    parser = cli.make_parser("What the tool does.")
    parser.add_argument("--pictures", type=cli.not_negative)
    assert parser.parse_args(["--pictures", "0"]).pictures == 0
    with pytest.raises(SystemExit):
        parser.parse_args(["--pictures", "-3"])


@pytest.mark.slow
def test_check_data_from_any_folder(people, tmp_path):
    data, config = tmp_path / "people", ROOT / "configs/tfpose_tiny_synthetic_128x96.py"
    shutil.copytree(people, data)
    options = [
        "--cfg-options",
        *(f"{loader}_dataloader.dataset.data_root={data}" for loader in ("train", "val", "test")),
    ]
    good = run_tool("check_data", config, *options, cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert good.stdout.count("no fault found") == 2
    assert "2 data sets, 14 images: 0 refused (a training or test stops), 0 skipped" in good.stdout
    (data / "train/000000000003.jpg").unlink()
    bad = run_tool("check_data", config, "--json", "faults.json", "--workers", 2, *options, cwd=tmp_path)
    assert bad.returncode == 1, bad.stderr
    assert "| image_missing | skipped  | 1     | image 2      |" in bad.stdout
    assert [row["row"] for row in json.loads((tmp_path / "faults.json").read_text())["files"][0]["findings"]] == [2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faults.json", "people"]
    again = run_tool("check_data", config, "--json", config, cwd=tmp_path)
    assert again.returncode == 2
    end = f"error: The report must not replace another file, but {config} exists: choose another name.\n"
    assert again.stderr.endswith(end)

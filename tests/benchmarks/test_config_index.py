"""Check that configs/README.md and model-index.yml agree with the configs."""

from __future__ import annotations

import importlib.util
import re

import pytest
import yaml

from benchmarks import config_index
from tests.helpers.paths import ROOT
from tfpose_mm.comparison.complexity import Complexity

CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)
PAGE = config_index.PAGE.read_text(encoding="utf-8")
INDEX = config_index.MODEL_INDEX.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def entries():
    return config_index.read_entries()


@pytest.fixture(scope="module")
def rows():
    """Each row of the page by the name of its config."""
    lines = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| [")]
    return {link.partition("(")[2].strip().rstrip(")"): [cell.strip() for cell in cells] for link, *cells in lines}


def test_every_config_is_listed_with_a_purpose(rows, entries):
    names = {path.relative_to(ROOT / "configs").as_posix() for path in CONFIGS}
    assert set(rows) == names
    assert sorted(model["Config"] for model in yaml.safe_load(INDEX)["Models"]) == sorted(f"configs/{n}" for n in names)
    assert len({entry.purpose for entry in entries}) == len(entries)
    for path in CONFIGS:
        text = path.read_text(encoding="utf-8")
        assert re.match(r"# .*\.\n", text), f"{path}: the first line must be a comment with a sentence"


def test_both_files_are_fresh(entries, rows, monkeypatch, tmp_path):
    """The costs are read from the index, because counting all of them takes a minute."""
    costs = {}
    for model in yaml.safe_load(INDEX)["Models"]:
        data, name = model["Metadata"], model["Config"].partition("/")[2]
        costs[name] = Complexity(data["FLOPs"] / 1e9, data["Parameters"] / 1e6) if "FLOPs" in data else None
        if costs[name] is not None:
            assert float(rows[name][2]) == pytest.approx(costs[name].params, abs=0.06, rel=0.005), name
            assert float(rows[name][3]) == pytest.approx(costs[name].gflops, abs=0.006, rel=0.005), name
    of_page = {name: None if row[3] == "-" else Complexity(float(row[3]), float(row[2])) for name, row in rows.items()}
    rerun = "run python -m benchmarks.config_index"
    assert config_index.make_page(entries, of_page) == PAGE, rerun
    monkeypatch.setattr(config_index, "PAGE", tmp_path / "README.md")
    monkeypatch.setattr(config_index, "MODEL_INDEX", tmp_path / "model-index.yml")
    monkeypatch.setattr(config_index, "count_cost", costs.get)
    config_index.main()
    assert (tmp_path / "model-index.yml").read_text(encoding="utf-8") == INDEX, rerun
    assert (tmp_path / "README.md").is_file()


def test_costs_are_counted(rows):
    name = "tfpose_two-stage_cspnext-m_coco_256x192.py"
    cost = config_index.count_cost(name)
    assert rows[name][2:4] == [f"{cost.params:.1f}", f"{cost.gflops:.2f}"]
    needs_mmpretrain = "swaps/tfpose_vit-s_coco_256x192.py"
    assert rows[needs_mmpretrain][2:4] == ["-", "-"]
    if importlib.util.find_spec("mmpretrain") is None:
        assert config_index.count_cost(needs_mmpretrain) is None


def test_only_the_demo_was_trained(rows):
    """The index has the published results and no others."""
    assert rows["tfpose_r50_coco_256x192.py"][-2:] == ["71.0", "not trained"]
    assert rows["tfpose_r50_mpii_256x256.py"][-2:] == ["90.4 PCKh@0.5", "not trained"]
    trained = {name: cells[-1] for name, cells in rows.items() if cells[-1] != "not trained"}
    assert trained == {"tfpose_tiny_synthetic_128x96.py": "AP 0.892"}

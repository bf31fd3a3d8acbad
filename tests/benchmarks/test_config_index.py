"""Check that configs/README.md and model-index.yml agree with the configs."""

from __future__ import annotations

import importlib.util

import pytest
import yaml

from benchmarks import config_index
from tests.helpers.paths import ROOT
from tfpose_mm.comparison.complexity import Complexity

RERUN = "run python -m benchmarks.config_index"
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)


@pytest.fixture(scope="module")
def entries():
    return config_index.read_entries()


@pytest.fixture(scope="module")
def page():
    return config_index.PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows(page):
    """Return each row of the page by the name of its config."""
    found = {}
    for line in page.splitlines():
        if line.startswith("| ["):
            link, *cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            found[link.partition("(")[2].rstrip(")")] = cells
    return found


@pytest.fixture(scope="module")
def index():
    return yaml.safe_load(config_index.MODEL_INDEX.read_text(encoding="utf-8"))


def test_every_config_is_listed(rows, index):
    names = {path.relative_to(ROOT / "configs").as_posix() for path in CONFIGS}
    assert set(rows) == names
    assert {model["Config"] for model in index["Models"]} == {f"configs/{name}" for name in names}
    assert len(index["Models"]) == len(names)


@pytest.mark.slow
def test_the_page_is_fresh(entries, page, rows):
    """The costs are read from the index, because counting all of them takes a minute."""
    costs = {}
    for name, (_, _, params, gflops, *_) in rows.items():
        costs[name] = None if gflops == "-" else Complexity(float(gflops), float(params))
    assert config_index.make_page(entries, costs) == page, RERUN


@pytest.mark.slow
def test_the_model_index_is_fresh(entries, index, rows):
    costs = {}
    for model in index["Models"]:
        data, name = model["Metadata"], model["Config"].partition("/")[2]
        cost = Complexity(data["FLOPs"] / 1e9, data["Parameters"] / 1e6) if "FLOPs" in data else None
        costs[name] = cost
        if cost is not None:
            assert float(rows[name][2]) == pytest.approx(cost.params, abs=0.06, rel=0.005), name
            assert float(rows[name][3]) == pytest.approx(cost.gflops, abs=0.006, rel=0.005), name
    committed = config_index.MODEL_INDEX.read_text(encoding="utf-8")
    assert config_index.make_model_index(entries, costs) == committed, RERUN


@pytest.mark.parametrize(
    "name",
    [
        "tfpose_tiny_synthetic_128x96.py",
        "tfpose_r18_lspet_256x192.py",
        "tfpose_two-stage_cspnext-m_coco_256x192.py",
        "peers/rle_r50_coco_256x192.py",
    ],
)
def test_costs_are_counted(name, rows):
    cost = config_index.count_cost(name)
    assert rows[name][2:4] == [f"{cost.params:.1f}", f"{cost.gflops:.2f}"], RERUN


@pytest.mark.skipif(importlib.util.find_spec("mmpretrain") is not None, reason="mmpretrain is installed")
def test_a_config_that_needs_another_package_has_no_costs(rows):
    assert config_index.count_cost("swaps/tfpose_vit-s_coco_256x192.py") is None
    assert rows["swaps/tfpose_vit-s_coco_256x192.py"][2:4] == ["-", "-"]


def test_a_purpose_is_one_line_of_its_own(entries):
    purposes = [entry.purpose for entry in entries]
    assert len(set(purposes)) == len(purposes)
    for path in CONFIGS:
        first_line = path.read_text(encoding="utf-8").partition("\n")[0]
        assert first_line.startswith("# "), path
        assert first_line.endswith("."), f"{path}: the first line of the comment must be a sentence"


def test_only_the_demo_was_trained(rows):
    """The index has the published results and no others."""
    assert rows["tfpose_r50_coco_256x192.py"][-2:] == ["71.0", "not trained"]
    assert rows["tfpose_r50_mpii_256x256.py"][-2:] == ["90.4 PCKh@0.5", "not trained"]
    trained = {name: cells[-1] for name, cells in rows.items() if cells[-1] != "not trained"}
    assert trained == {"tfpose_tiny_synthetic_128x96.py": "AP 0.892"}


@pytest.mark.slow
def test_it_writes_both_files(entries, monkeypatch, tmp_path, page, index):
    monkeypatch.setattr(config_index, "PAGE", tmp_path / "README.md")
    monkeypatch.setattr(config_index, "MODEL_INDEX", tmp_path / "model-index.yml")
    monkeypatch.setattr(config_index, "count_cost", lambda name: Complexity(1.25, 2.5))
    config_index.main()
    assert (tmp_path / "README.md").read_text(encoding="utf-8").count("| 2.5    | 1.25   |") == len(entries)
    written = yaml.safe_load((tmp_path / "model-index.yml").read_text(encoding="utf-8"))
    assert {model["Metadata"]["FLOPs"] for model in written["Models"]} == {1_250_000_000}

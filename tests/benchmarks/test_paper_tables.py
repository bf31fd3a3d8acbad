from __future__ import annotations

import json
import re

import pytest

from benchmarks import paper_tables
from benchmarks.paper import TABLES
from tests.helpers.models import TinyUpsampler
from tests.helpers.paths import ROOT
from tfpose_mm.errors import UserError


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs/paper_tables.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_committed_page_is_fresh(page):
    fresh = paper_tables.make_page(paper_tables.RESULTS)
    assert fresh == page, "run python -m benchmarks.paper_tables --markdown"


def rows(page, number):
    section = page.partition(f"## Table {number}:")[2].partition("##")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    header, _, *cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, row)) for row in cells]


def test_ratios_are_of_the_figures_beside_them(page):
    assert {row["AP here"] for table in TABLES for row in rows(page, table.number)} == {""}
    assert "**Nothing has been trained on COCO" in page
    for table in TABLES:
        for row in rows(page, table.number):
            if row["ratio"] != "-":
                ratio = float(row["here"]) / float(row["GFLOPs, paper"])
                assert float(row["ratio"]) == pytest.approx(ratio, abs=0.003)
            if "../configs" in row["config"] and row.get("q2q") != "off":  # TFPose; for the other row see below
                assert float(row["ratio"]) == pytest.approx(1, abs=0.0145)
    # SimpleBaseline has 5.45 GMACs, not 8.9; counted as in HRNet's code they are near the paper's figure
    (row, _) = (row for row in rows(page, 5) if row["method"] == "SimpleBaseline")
    assert (row["GFLOPs, paper"], row["here"], row["ratio"]) == ("8.9", "5.45", "0.612")
    assert f"{row['note']}. 9.01 counted as HRNet's code does" in page


def test_hrnet_s_count_against_arithmetic():
    """It takes the size of the output, and 2^30; MMEngine takes the size of the input."""
    model = TinyUpsampler()
    per_pixel = 3 * 2 * 4 * 4  # C_in x C_out / groups x k x k
    assert paper_tables.gflops_of_hrnet(model, (5, 7)) * 2**30 == pytest.approx(10 * 14 * per_pixel)
    assert not model.head._forward_hooks


def measure(results, folder, ap, annotations="data/coco/annotations/person_keypoints_val2017.json", **wrong):
    (results / folder).mkdir()
    content = {"config": folder, "annotations": annotations, "coco/AP": ap, **wrong}
    (results / folder / "metrics.json").write_text(json.dumps(content))


def test_a_measured_result_fills_its_row_alone(tmp_path):
    """A result on other data does not count, and one of another config is refused."""

    def measured():
        aps = [(table.number, paper_tables.measured_ap(row, table, tmp_path)) for table in TABLES for row in table.rows]
        return [(number, ap) for number, ap in aps if ap is not None]

    measure(tmp_path, "tfpose_r18_coco_256x192", 0.9, "data/synthetic/annotations/person_keypoints_val.json")
    assert measured() == []
    measure(tmp_path, "td-hm_res50_8xb64-210e_coco-256x192", 0.704)
    measure(tmp_path, "tfpose_r50_coco_256x192_testdev", 0.6, annotations="test-dev2017")
    assert measured() == [(5, pytest.approx(70.4)), (6, 60)]
    measure(tmp_path, "tfpose_r50_coco_256x192", 0.9, config="tfpose_tiny_synthetic_128x96")
    with pytest.raises(UserError, match="is from the config tfpose_tiny_synthetic_128x96, but its folder is tfpose_r5"):
        measured()


def test_every_config_is_linked(page):
    paths = [path.relative_to(ROOT) for path in (ROOT / "configs").rglob("tfpose_*_coco_*.py")]
    of_paper = {str(path) for path in paths if path.parts[1] != "swaps" and "two-stage" not in path.name}
    assert set(re.findall(r"\(\.\./(configs/[^)]+)\)", page)) == of_paper


def test_the_page_is_written(monkeypatch, tmp_path):
    measure(tmp_path, "tfpose_r18_coco_256x192", 0.12345)
    monkeypatch.setattr(paper_tables, "TABLES", TABLES[3:4])
    monkeypatch.setattr(paper_tables, "PAGE", tmp_path / "paper_tables.md")
    monkeypatch.setattr("sys.argv", ["paper_tables", "--markdown", "--results", str(tmp_path)])
    paper_tables.main()
    written = paper_tables.PAGE.read_text()
    assert [row["AP here"] for row in rows(written, 4)] == ["", "12.3"]
    assert "Nothing has been trained on COCO" not in written


def count(name):
    return paper_tables.count_config(name, (), (256, 192)).gflops


def test_gflops_are_those_of_the_paper_s_text():
    assert count("tfpose_r50_coco_256x192.py") == pytest.approx(9.15, rel=0.015)


def test_query_attention_costs_what_it_costs():
    """Table 1 gives a difference of 0.10, but the counted difference is 0.03. The count is not adjusted."""
    counted = [count(f"ablations/tfpose_r18_ne0_{part}coco_256x192.py") for part in ("", "noq2q_")]
    assert counted[0] - counted[1] == pytest.approx(0.028, abs=0.002)

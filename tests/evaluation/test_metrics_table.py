from __future__ import annotations

from tfpose_mm.evaluation.metrics_table import format_table


def test_mpii_s_table_is_in_per_cent_and_the_paper_s_order():
    assert "| PCK | 0.500 |" in format_table({"PCK": 0.5})  # the PCK of PCKAccuracy, not of MPII
    table = format_table({"PCK": 0.5, "Head PCK": 98.04, "Ankle PCK": 82.55, "PCK@0.1": 40.0})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:-1]]
    assert cells == [["Head", "98.0"], ["Ank.", "82.5"], ["Total", "0.5"], ["Total@0.1", "40.0"]]


def test_names_and_what_was_not_measured():
    metrics = {"coco/AP": 0.91234, "coco/AP (L)": -1.0, "coco/AR": 0.5, "PCK@0.2/PCK": 0.987}
    assert format_table(metrics | {"x/AP": 0.5, "x/AR": 0.6}).splitlines() == [
        "+------------+-------+",
        "| AP         | 0.912 |",
        "| AP (large) |   n/a |",
        "| AR         | 0.500 |",
        "| PCK@0.2    | 0.987 |",
        "| x/AP       | 0.500 |",
        "| x/AR       | 0.600 |",
        "+------------+-------+",
    ]

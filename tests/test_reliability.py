"""docs/reliability.md is what the tests wrote, with both sets of host packages."""

from __future__ import annotations

import json

import pytest

from tests.helpers import reliability as helper
from tests.helpers.reliability import PAGE, PARTS, ROWS, STACK, STACKS, Reliability, render


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == render(), "run 'make test-faults' and 'make test-faults STACK=classic'"


def test_each_part_has_rows_of_both_stacks():
    rows = json.loads(ROWS.read_text())
    assert set(rows) == set(PARTS)
    missing = [fault for part in rows.values() for fault, row in part.items() if set(row["tried"]) != set(STACKS)]
    assert not missing, missing


@pytest.fixture
def rows(monkeypatch, tmp_path):
    """Return a function that reports an outcome in a mode; it returns the stored row."""
    monkeypatch.setattr(helper, "ROWS", tmp_path / "rows.json")
    helper.ROWS.write_text("{}")

    def report(mode, outcome, tried):
        reliability = Reliability()
        reliability.mode = mode
        reliability.row("numbers", "a fault", tried, outcome)
        return json.loads(helper.ROWS.read_text())["numbers"]["a fault"]

    return report


def test_a_short_run_keeps_the_count_of_a_long_one(rows):
    assert rows("full", "goes on", 20)["tried"] == {STACK: 20}
    assert rows("few", "goes on", 2)["tried"] == {STACK: 20}
    changed = rows("few", "stops", 2)
    assert (changed["outcome"], changed["tried"]) == ("stops", {STACK: 2})
    assert rows(None, "stops", 1) == changed


def test_another_outcome_than_the_page_fails(rows):
    with pytest.raises(AssertionError, match="run 'make test-faults'"):
        rows(None, "goes on", 1)
    rows("few", "goes on", 2)
    with pytest.raises(AssertionError, match="run 'make test-faults'"):
        rows(None, "stops", 1)

"""docs/reliability.md is what the tests wrote, with both sets of host packages."""

from __future__ import annotations

import json

import pytest

from tests.helpers import reliability as helper
from tests.helpers.reliability import PAGE, PARTS, ROWS, STACK, STACKS, Reliability, render


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == render(), "run 'make test-faults' and 'make test-faults STACK=classic'"
    rows = json.loads(ROWS.read_text())
    assert set(rows) == set(PARTS)
    assert all(set(row["tried"]) == set(STACKS) for part in rows.values() for row in part.values())


def test_another_outcome_than_the_page_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(helper, "ROWS", tmp_path / "rows.json")
    helper.ROWS.write_text("{}")

    def report(mode, outcome, tried):
        reliability = Reliability()
        reliability.mode = mode
        reliability.row("numbers", "a fault", tried, outcome)
        return json.loads(helper.ROWS.read_text())["numbers"]["a fault"]

    with pytest.raises(AssertionError, match="run 'make test-faults'"):
        report(None, "goes on", 1)
    assert report("full", "goes on", 20) == report("few", "goes on", 2) == report(None, "goes on", 1)
    with pytest.raises(AssertionError, match="run 'make test-faults'"):
        report(None, "stops", 1)
    assert report("few", "stops", 2)["tried"] == {STACK: 2}

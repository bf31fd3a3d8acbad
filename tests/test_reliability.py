"""docs/reliability.md is what the tests wrote, with both sets of host packages."""

from __future__ import annotations

import json

from tests.helpers.reliability import PAGE, PARTS, ROWS, STACKS, render


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == render(), "run 'make test-faults' and 'make test-faults STACK=modern'"


def test_each_part_has_rows_of_both_stacks():
    rows = json.loads(ROWS.read_text())
    assert set(rows) == set(PARTS)
    missing = [fault for part in rows.values() for fault, row in part.items() if set(row["tried"]) != set(STACKS)]
    assert not missing, missing

"""Rows of docs/reliability.md: each is written by the test that tries the fault.

``make test-faults`` sets ``RELIABILITY=full``: tests try each fault many times and write their rows. Otherwise
they try it a few times, and compare their rows with the page. ``RELIABILITY=few`` tries it a few times and writes the
rows that are new or have another outcome. ``python -m tests.helpers.reliability`` writes the page.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys

import torch

from tfpose_mm.host.requirements import parse_version

from .paths import ROOT

PAGE = ROOT / "docs/reliability.md"
ROWS = ROOT / "tests/reliability.json"
STACKS = ("classic", "modern")
STACK = STACKS[parse_version(torch.__version__) >= (2, 2)]
PARTS = {
    "inputs": "Inputs",
    "data": "Data",
    "numbers": "Numbers",
    "training": "Faults in training",
    "determinism": "Determinism",
}
HEAD = """# Reliability

Each row is a fault that a test causes, or a class of inputs that a test tries. *Tried* is the number of times with
torch 2.1 / with torch 2.13, on a CPU. *Lost* is the work that is lost. The tests write this page:

```bash
make test-faults                 # at most 15 minutes on 2 cores
make test-faults STACK=classic
```

`make test-all` tries each fault a few times and compares the outcome with this page.
"""


class Reliability:
    """What a test reports about the faults that it causes."""

    mode = os.environ.get("RELIABILITY")

    def times(self, long, short):
        """How often a test tries a fault: ``long`` under ``make test-faults``, else ``short``."""
        return long if self.mode == "full" else short

    def row(self, part, fault, tried, outcome, lost="nothing", measured=None):
        """Write the row of a fault, or compare it with the stored row, but for what is measured; call this last."""
        assert part in PARTS
        row = dict(outcome=outcome, lost=lost)
        with ROWS.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            rows = json.load(file)
            stored = rows.setdefault(part, {}).get(fault, {})
            is_same = {name: stored.get(name) for name in row} == row
            if self.mode == "full" or (self.mode == "few" and not (is_same and STACK in stored["tried"])):
                row["tried"] = {**stored.get("tried", {}), STACK: tried}
                if measured:
                    row["measured"] = {**stored.get("measured", {}), STACK: measured}
                rows[part][fault] = row
                file.seek(0)
                file.truncate()
                file.write(dump(rows))
            else:
                assert is_same, f"run 'make test-faults' to write the row {part}: {fault}"


def dump(rows):
    """The JSON of the rows, one a line."""
    parts = []
    for part, faults in sorted(rows.items()):
        lines = (f" {json.dumps(fault)}: {json.dumps(row, sort_keys=True)}" for fault, row in sorted(faults.items()))
        parts.append(f"{json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def render():
    """The text of docs/reliability.md."""
    rows = json.loads(ROWS.read_text())
    lines = [HEAD]
    for part, title in PARTS.items():
        lines += [f"## {title}", "", "| fault or input | tried | outcome | lost |", "|---|---|---|---|"]
        for fault, row in sorted(rows.get(part, {}).items()):
            tried = " / ".join(f"{row['tried'][stack]:,}" if stack in row["tried"] else "-" for stack in STACKS)
            measured = " / ".join(row["measured"][stack] for stack in STACKS if stack in row.get("measured", {}))
            outcome = f"{row['outcome']} ({measured})" if measured else row["outcome"]
            lines.append(f"| {fault} | {tried} | {outcome} | {row['lost']} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(render())
    print(f"{PAGE} is written", file=sys.stderr)

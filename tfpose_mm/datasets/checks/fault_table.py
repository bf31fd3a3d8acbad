"""The report of all faults: as an object, as json, as text."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...tables import markdown_table
from ..annotation_checks import FindingGroup, group_findings
from ..findings import REFUSED, SKIPPED, WARNING, Finding

TOOL = "tfpose check-data"
SEVERITIES = (REFUSED, SKIPPED, WARNING)
WIDTH = 120


@dataclass
class FileReport:
    """What is found in a data set.

    Attributes:
        file: The annotation file.
        loaders: Names of the dataloaders that use it.
        num_annotations: Number of rows; 0 if the annotations are not checked.
        num_images: Number of images that a training or test reads.
        findings: All faults.
        notes: What is no fault, but good to know.
        not_checked: What is not checked, and why.
    """

    file: str
    loaders: list[str]
    num_annotations: int = 0
    num_images: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)


@dataclass
class DataReport:
    """What is found in the data sets of a config.

    Attributes:
        files: A report for each data set.
        strict: Whether the exit status is 1 for warnings, too.
        json: File with all findings, if one was written.
    """

    files: list[FileReport] = field(default_factory=list)
    strict: bool = False
    json: Path | None = None

    def __str__(self) -> str:
        """The report as text, see :func:`format_data_report`."""
        written = [f"All findings are in {self.json}."] if self.json else []
        return "\n".join([format_data_report(self), *written])

    @property
    def findings(self) -> list[Finding]:
        """All faults of all data sets."""
        return [finding for file in self.files for finding in file.findings]

    def count(self, severity: str) -> int:
        """Number of faults of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def exit_status(self) -> int:
        """0 if a training uses all rows, else 1."""
        return int(any(self.count(severity) for severity in SEVERITIES[: 3 if self.strict else 2]))

    def to_json(self) -> str:
        """All findings as json."""
        files = [dict(vars(file), findings=[finding._asdict() for finding in file.findings]) for file in self.files]
        return json.dumps(dict(tool=TOOL, files=files), indent=1)

    @classmethod
    def from_json(cls, text: str) -> DataReport:
        """Read what :meth:`to_json` has written."""
        files = json.loads(text)["files"]
        for file in files:
            file["findings"] = [Finding(**finding) for finding in file["findings"]]
        return cls([FileReport(**file) for file in files])


def need_report_path(path: str | Path) -> None:
    """Raise a UserError if a report must not be written to a path.

    Args:
        path: The file; an earlier report may be there.

    Raises:
        UserError: If the folder does not exist, or another file is there.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"The report needs a folder that exists, but {path.parent} does not: create it.")
    if not path.exists():
        return
    try:
        earlier: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        earlier = None
    if not isinstance(earlier, dict) or earlier.get("tool") != TOOL:
        raise UserError(f"The report must not replace another file, but {path} exists: choose another name.")


def format_data_report(report: DataReport) -> str:
    """The report as text: for each file a table of the kinds of faults, and what to do.

    Args:
        report: The report.

    Returns:
        The text; it has up to three places of each kind of fault. :meth:`DataReport.to_json` has all.
    """
    parts = [_format_file(file) for file in report.files]
    total = ", ".join(f"{report.count(severity):,} {_TOTALS[severity]}" for severity in SEVERITIES)
    images = sum(file.num_images for file in report.files)
    end = f"{len(report.files)} data set{'s' * (len(report.files) != 1)}, {images:,} images: {total}"
    return "\n\n".join([*parts, "\n".join(_wrap(end, ""))])


_TOTALS = {
    REFUSED: "refused (a training or test stops)",
    SKIPPED: "skipped (a training leaves the row out)",
    WARNING: "warnings (the row is used)",
}


def _format_file(file: FileReport) -> str:
    what = f"{file.num_annotations:,} annotations, " if file.num_annotations else ""
    lines = [f"{file.file} ({', '.join(file.loaders)}): {what}{file.num_images:,} images"]
    groups = sorted(group_findings(file.findings), key=lambda group: (SEVERITIES.index(group.severity), -group.count))
    if groups:
        rows = [[group.check, group.severity, f"{group.count:,}", _places(group)] for group in groups]
        lines += markdown_table([["check", "severity", "count", "first places"], *rows])
        lines += [line for group in groups for line in _wrap(f"{_title(group)}: {group.first[0].detail}.", "- ")]
    else:
        lines.append("no fault found")
    lines += [line for note in file.notes for line in _wrap(note, "note: ")]
    lines += [line for note in file.not_checked for line in _wrap(note, "not checked: ")]
    return "\n".join(lines)


def _places(group: FindingGroup) -> str:
    in_images = group.first[0].detail.startswith("in 'images'")
    rows = [str(finding.row) for finding in group.first if finding.row is not None]
    if not rows:
        other = {finding.file for finding in group.first}
        return "whole file" if len(other) < group.count or group.count == 1 else ", ".join(sorted(other))
    kind = "image" if in_images else "row"
    return f"{kind}{'s' * (group.count > 1)} {', '.join(rows)}{', ...' * (group.count > len(rows))}"


def _title(group: FindingGroup) -> str:
    """The check, and the row of the sentence if it is one of several."""
    return group.check if group.count == 1 or group.first[0].row is None else f"{group.check}, first place"


def _wrap(text: str, start: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )

"""The report of all faults: as an object, as json, as text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import UserError
from ..findings import REFUSED, SEVERITIES, SKIPPED, WARNING, Finding, describe_group, group_findings

TOOL = "tfpose check-data"
TOTALS = {
    REFUSED: "refused (a training or test stops)",
    SKIPPED: "skipped (a training leaves the row out)",
    WARNING: "warnings (the row is used)",
}


@dataclass
class FileReport:
    """What is found in a data set.

    Attributes:
        file: The annotation file.
        loaders: Names of the dataloaders that use it.
        num_annotations: Number of rows; 0 if the annotations are not checked.
        num_images: Number of images that a training or test reads.
        findings: All faults.
        not_checked: What is not checked, and why.
    """

    file: str
    loaders: list[str]
    num_annotations: int = 0
    num_images: int = 0
    findings: list[Finding] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """A line for each kind of fault, with its first places, counted from 0."""
        what = f"{self.num_annotations:,} annotations, " if self.num_annotations else ""
        lines = [f"{self.file} ({', '.join(self.loaders)}): {what}{self.num_images:,} images"]
        groups = group_findings(self.findings)
        groups.sort(key=lambda group: (SEVERITIES.index(group[0].severity), -len(group)))
        lines += [f"- {group[0].severity}: {describe_group(group)}." for group in groups] or ["no fault found"]
        return "\n".join([*lines, *(f"not checked: {text}" for text in self.not_checked)])


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
        """The reports of the data sets, the numbers of faults, and the file with all of them."""
        images = sum(file.num_images for file in self.files)
        total = ", ".join(f"{self.count(severity):,} {text}" for severity, text in TOTALS.items())
        end = f"{len(self.files)} data set{'s' * (len(self.files) != 1)}, {images:,} images: {total}"
        written = [f"All findings are in {self.json}."] if self.json else []
        return "\n".join([*(f"{file}\n" for file in self.files), end, *written])

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


def need_report_path(path: str | Path) -> None:
    """Raise a UserError if a report must not be written to a path.

    Raises:
        UserError: If the folder does not exist, or another file than an earlier report is there.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"The report needs a folder that exists, but {path.parent} does not: create it.")
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(f'{{\n "tool": "{TOOL}"'.encode())):
        raise UserError(f"The report must not replace another file, but {path} exists: choose another name.")

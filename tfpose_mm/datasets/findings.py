"""What the checks of annotations and images report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

REFUSED = "refused"  # training stops with one sentence
SKIPPED = "skipped"  # training leaves the row out, and says how many
WARNING = "warning"  # training uses the row
SEVERITIES = (REFUSED, SKIPPED, WARNING)


class Finding(NamedTuple):
    """A fault in a data set.

    Attributes:
        check: The name of the check, as ``"bbox_without_area"``.
        severity: What a training does: ``REFUSED``, ``SKIPPED`` or ``WARNING``.
        file: The annotation file or the image.
        row: Index of the annotation, or of the image, in its list of the annotation file, from 0; ``None`` for a fault
            of the whole file.
        detail: A sentence: what is expected, what is there, and how to fix it.
    """

    check: str
    severity: str
    file: str
    row: int | None
    detail: str

    def __str__(self) -> str:
        """One sentence for the user."""
        place = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{place}: {self.detail}"


def group_findings(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group findings by check and severity, in the order of their first findings."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.check, finding.severity), []).append(finding)
    return list(groups.values())


def describe_group(group: list[Finding]) -> str:
    """The check, the number of findings, the first three places and the sentence of the first finding."""
    rows = ", ".join(str(finding.row) for finding in group[:3] if finding.row is not None)
    more = ", ..." if len(group) > 3 else ""
    places = f" in row{'s' * (len(group) > 1)} {rows}{more}" if rows else ""
    return f"{group[0].check}: {len(group):,}{places}; {group[0].detail}"

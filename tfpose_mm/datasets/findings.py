"""What the checks of annotations and images report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

REFUSED, SKIPPED, WARNING = "refused", "skipped", "warning"
SEVERITIES = {
    REFUSED: "refused (a training or test stops)",
    SKIPPED: "skipped (a training leaves the row out)",
    WARNING: "warnings (the row is used)",
}


class Finding(NamedTuple):
    """A fault in a data set.

    Attributes:
        check: The name of the check, as ``"bbox_without_area"``.
        severity: What a training does: ``REFUSED``, ``SKIPPED`` or ``WARNING``.
        file: The annotation file.
        row: Index of the annotation, or of the image, in its list of the annotation file, from 0; ``None`` for a fault
            of the whole file.
        detail: A sentence: what is expected, what is there, and how to fix it.
    """

    check: str
    severity: str
    file: str
    row: int | None
    detail: str


def describe_groups(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Group findings by severity and check, the severest and most frequent first.

    Returns:
        The severity of each group; and its check, number, first three rows and first sentence.
    """
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.check), []).append(finding)
    lines = []
    for group in sorted(groups.values(), key=lambda group: ([*SEVERITIES].index(group[0].severity), -len(group))):
        rows = ", ".join(str(finding.row) for finding in group[:3] if finding.row is not None)
        places = f" in row{'s' * (len(group) > 1)} {rows}{', ...' * (len(group) > 3)}" if rows else ""
        lines.append((group[0].severity, f"{group[0].check}: {len(group):,}{places}; {group[0].detail}"))
    return lines

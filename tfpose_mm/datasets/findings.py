"""What the checks of annotations and images report."""

from __future__ import annotations

from typing import NamedTuple

REFUSED = "refused"  # training stops with one sentence
SKIPPED = "skipped"  # training leaves the row out, and says how many
WARNING = "warning"  # training uses the row


class Finding(NamedTuple):
    """A fault in a data set.

    Attributes:
        check: The name of the check, as ``"box_not_finite"``.
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

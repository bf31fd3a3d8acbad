"""Read the logs that MMEngine writes during a training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .curves import Curve

NOT_DRAWN = {"epoch", "iter", "step", "memory", "time", "data_time"}


def read_log(folder: str | Path) -> list[dict]:
    """Read the logged values of a training.

    Args:
        folder: The work directory; all its runs are joined in the order of their names, as of a resumed training.

    Returns:
        The entries: losses and learning rate with ``iter``, results of validations without it. ``step`` counts
        iterations and epochs.

    Raises:
        UserError: If there is no log.
    """
    files = sorted(Path(folder).rglob("scalars.json"))
    if not files:
        raise UserError(
            f"{folder} must have the log of a training, vis_data/scalars.json, but has none: check the path."
        )
    return [entry for file in files for entry in _read_lines(file)]


def _read_lines(file: Path) -> list[dict]:
    """The entries of a file; a last line that a running training has not finished is left out."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line]
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise UserError(f"Line {number} of {file} must be JSON, but is not: {error}.") from error
    return entries


def read_curve(label: str, folder: str | Path, metric: str) -> Curve:
    """Read a metric over the epochs from the log of a training.

    Args:
        label: Its label.
        folder: The work directory.
        metric: The metric.

    Returns:
        The curve.

    Raises:
        UserError: If there is no log, or it does not have the metric.
    """
    entries = read_log(folder)
    values = {int(entry["step"]): float(entry[metric]) for entry in entries if metric in entry}
    if not values:
        known = sorted({name for entry in entries for name in entry if "/" in name})
        raise UserError(
            f"The log in {folder} must have the metric {metric}, but has {', '.join(known) or 'no validation'}: choose "
            "another metric."
        )
    return Curve(label, values)


def read_losses(folder: str | Path) -> dict[str, dict[int, float]]:
    """Read losses, learning rate and training accuracy over the iterations.

    Args:
        folder: The work directory.

    Returns:
        For each logged value its value by iteration; a resumed training replaces iterations that it repeats.

    Raises:
        UserError: If there is no log.
    """
    values: dict[str, dict[int, float]] = {}
    for entry in read_log(folder):
        if "iter" in entry:
            for name in entry.keys() - NOT_DRAWN:
                values.setdefault(name, {})[int(entry["step"])] = float(entry[name])
    return {name: dict(sorted(values[name].items())) for name in sorted(values)}


def split_labels(logs: Sequence[str]) -> list[tuple[str, str]]:
    """Split ``LABEL=FOLDER`` texts.

    Args:
        logs: The texts.

    Returns:
        Label and folder of each.

    Raises:
        UserError: If a text has no ``=``.
    """
    wrong = [text for text in logs if "=" not in text]
    if wrong:
        raise UserError(f"--logs must have the form LABEL=FOLDER, but got {wrong[0]}.")
    return [(label, folder) for label, _, folder in (text.partition("=") for text in logs)]

"""Curves of trainings from the logs that MMEngine writes, as in Figure 5 of the paper."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..errors import UserError

NOT_DRAWN = {"epoch", "iter", "step", "memory", "time", "data_time"}
MAIN_METRICS = ("coco/AP", "PCK")  # of COCO and MPII


class Curve(NamedTuple):
    """The results of a training."""

    name: str  # trainings with the same name differ in their seed
    values: dict[int, float]  # by epoch or iteration


def split_labels(logs: Sequence[str]) -> list[tuple[str, str]]:
    """Split ``LABEL=FOLDER`` texts into label and folder; a UserError if a text has no ``=``."""
    wrong = [text for text in logs if "=" not in text]
    if wrong:
        raise UserError(f"--logs must have the form LABEL=FOLDER, but got {wrong[0]}.")
    return [(label, folder) for label, _, folder in (text.partition("=") for text in logs)]


def read_log(folder: str | Path, training: bool = False) -> dict[str, dict[int, float]]:
    """Read validations by epoch, or losses, learning rate and training accuracy by iteration, from a work directory.

    All its runs are joined in the order of their names. Each replaces what earlier ones logged from its first step on:
    a resumed training continues the curves, and one that was started anew replaces them. Returns for each logged name
    its value by step. Raises a UserError if there is no log.
    """
    files = sorted(Path(folder).rglob("scalars.json"))
    if not files:
        raise UserError(
            f"{folder} must have the log of a training, vis_data/scalars.json, but has none: check the path."
        )
    entries: list[dict] = []
    for file in files:
        run: list[dict] = []
        for line in file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # the last line of a training that runs or was killed
                run.append(json.loads(line))
        # first step of iterations and of validations; 0 is that of a validation without a training
        first = {"iter" in entry: entry["step"] for entry in reversed(run) if entry["step"]}
        old = (index for index, entry in enumerate(entries) if entry["step"] >= first.get("iter" in entry, math.inf))
        entries = entries[: next(old, None)] + run
    values: dict[str, dict[int, float]] = {}
    for entry in entries:
        for name in entry.keys() - NOT_DRAWN if ("iter" in entry) == training else ():
            values.setdefault(name, {})[int(entry["step"])] = float(entry[name])
    return {name: dict(sorted(values[name].items())) for name in sorted(values)}


def read_curves(trainings: Sequence[tuple[str, str]], metric: str | None = None) -> tuple[str, list[Curve]]:
    """Read a metric over the epochs from the logs of trainings, each with label and work directory.

    Without a metric it takes AP, or MPII's PCK, or another that all logs have. Returns the metric and a curve for each
    training. Raises a UserError if a log is missing or does not have the metric.
    """
    logs = [(label, folder, read_log(folder)) for label, folder in trainings]
    common = sorted(set.intersection(*({*values} for *_, values in logs)))
    metric = metric or next((name for name in (*MAIN_METRICS, *common) if name in common), MAIN_METRICS[0])
    for _, folder, values in logs:
        if metric not in values:
            raise UserError(
                f"The log in {folder} must have the metric {metric}, but has {', '.join(values) or 'no validation'}: "
                "choose another metric, or wait for the first validation."
            )
    return metric, [Curve(label, values[metric]) for label, _, values in logs]


def draw_curves(panels: Mapping[str, Sequence[Curve]], path: Path, steps: str = "epoch") -> None:
    """Draw panels of curves by title; each name has its own colour and line style."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = (9, 5) if len(panels) == 1 else (3.2 * columns + 1.5, 2.3 * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    lines: dict[str, list] = {}
    for axis, (title, curves) in zip(axes, panels.items()):
        for curve in sorted(curves, key=lambda curve: -curve.values[max(curve.values)]):
            turn, place = divmod([*lines, curve.name].index(curve.name), 10)  # matplotlib has 10 colours
            style: dict = dict(marker="." if len(panels) == 1 else "", color=f"C{place}")
            style["linestyle"] = ("-", "--", ":", "-.")[turn % 4]
            lines.setdefault(curve.name, []).extend(axis.plot(*zip(*sorted(curve.values.items())), **style))
        axis.set_title(title)
        axis.set_xlabel(steps)
        axis.xaxis.set_major_locator(MaxNLocator(4 if columns > 1 else "auto", integer=True))
        axis.grid(alpha=0.3)
    seeds = {name: sum(curve.name == name for curve in next(iter(panels.values()))) for name in lines}
    labels = [f"{name} ({count} seeds)" if count > 1 else name for name, count in seeds.items()]
    figure.legend([drawn[0] for drawn in lines.values()], labels, loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)

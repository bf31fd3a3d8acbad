"""The metrics of a test as a table."""

from __future__ import annotations

# PCKh@0.5 on MPII, in per cent, with order and names of the paper's Table 7
MPII = {
    "Head PCK": "Head",
    "Shoulder PCK": "Sho.",
    "Elbow PCK": "Elb.",
    "Wrist PCK": "Wri.",
    "Hip PCK": "Hip",
    "Knee PCK": "Knee",
    "Ankle PCK": "Ank.",
    "PCK": "Total",
    "PCK@0.1": "Total@0.1",
}
NAMES = {
    "coco/AP": "AP",
    "coco/AP .5": "AP50",
    "coco/AP .75": "AP75",
    "coco/AP (M)": "AP (medium)",
    "coco/AP (L)": "AP (large)",
    "coco/AR": "AR",
}


def metric_rows(metrics: dict[str, float]) -> list[tuple[str, str]]:
    """Name and value of each metric by MMPose's names, as text: the usual ones first, with short names."""
    mpii = MPII if "Head PCK" in metrics else {}  # PCKAccuracy's PCK is a fraction
    names = {**NAMES, **mpii}
    others = [name for name in metrics if name not in names and not name.startswith("coco/")]
    prefixes = [name.partition("/")[0] for name in others]
    names.update((name, prefix if prefixes.count(prefix) == 1 else name) for name, prefix in zip(others, prefixes))
    shown = [(name, metrics[name]) for name in names if name in metrics]
    # COCO gives -1 if no instance has that size
    return [(names[n], "n/a" if value < 0 else f"{value:.{1 if n in mpii else 3}f}") for n, value in shown]


def format_table(metrics: dict[str, float]) -> str:
    """The lines of a table of metrics by MMPose's names."""
    rows = metric_rows(metrics)
    width = max(len(name) for name, _ in rows)
    rule = f"+-{'-' * width}-+-------+"
    return "\n".join([rule, *(f"| {name:<{width}} | {value:>5} |" for name, value in rows), rule])

"""Cost and accuracy of several models in one table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from mmengine.config import Config
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from ..config_files import read_config
from ..engine.running import KeepSamples, need_checkpoint, need_device, run_test
from ..errors import UserError, need_at_least
from ..tables import markdown_table
from .complexity import count_complexity
from .latency import PARTS, describe_device, time_parts
from .memory import measure_memory

# the first one that is measured is the accuracy in the plot
ACCURACIES = ("coco/AP", "PCK@0.2/PCK", "PCK")


class Comparison(list[dict]):
    """A row for each model; printed as a table.

    Attributes:
        out: Folder of the files.
    """

    out: Path

    def __str__(self) -> str:
        """The table."""
        return f"{format_rows(self)}\nfiles: {self.out}/comparison.*"


def compare_models(
    configs: Sequence[str | Path | Config],
    *,
    checkpoints: Sequence[str] = (),
    batches: Sequence[int] = (1, 8),
    repeats: int = 20,
    device: str = "cpu",
    out: str | Path = "work_dirs/comparison",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> Comparison:
    """Compare models: size, GFLOPs, latency, memory and, with checkpoints, accuracy.

    Latency is given by part. All models run in turns in one process; the table has medians and quartiles. Compare the
    rows of one table, not absolute times of different machines.

    Args:
        configs: One or several configs of top-down estimators, names of packaged ones, or MMPose's own as mmpose::path.
        checkpoints: A checkpoint for each config, or 'none' for no accuracy. Defaults to none.
        batches: Batch sizes for the throughput; latency is always measured with batch size 1.
        repeats: Timed rounds.
        device: cpu, or a GPU as cuda:0.
        out: Folder for comparison.csv, .json, .md and, with accuracy, .png, and for the logs of tests.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        A row for each model; the units are in the names of the columns.

    Raises:
        UserError: If the device or a checkpoint is missing, or if the numbers of configs and checkpoints differ.
    """
    need_at_least(1, repeats=repeats, batches=min(batches, default=1))
    cfgs = [read_config(config, cfg_options) for config in configs]
    files = [None if name == "none" else name for name in checkpoints or ["none"] * len(cfgs)]
    out = Path(out)
    need_device(device)
    if len(files) != len(cfgs):
        raise UserError(
            f"--checkpoints needs one for each of the {len(cfgs)} configs, or 'none' to measure no accuracy, "
            f"but got {len(checkpoints)}."
        )
    for checkpoint in filter(None, files):
        need_checkpoint(checkpoint)
    register_all_modules()
    rows = Comparison(_measure(cfgs, files, batches, repeats, device, out))
    rows.out = out
    _write(rows, out)
    return rows


def _measure(
    configs: Sequence[Config],
    checkpoints: Sequence[str | None],
    batches: Sequence[int],
    repeats: int,
    device: str,
    out: Path,
) -> Iterator[dict]:
    accuracies = [  # first: a wrong checkpoint ends here
        run_test(cfg, checkpoint, out / f"test_{Path(cfg.filename).stem}", KeepSamples(0))[1] if checkpoint else {}
        for cfg, checkpoint in zip(configs, checkpoints)
    ]
    models = [MODELS.build(cfg.model) for cfg in configs]
    shapes = [(cfg.codec.input_size[1], cfg.codec.input_size[0]) for cfg in configs]
    costs = [count_complexity(model, shape) for model, shape in zip(models, shapes)]
    models = [model.to(device).eval() for model in models]
    by_batch = {batch: time_parts(models, shapes, batch, repeats, device) for batch in sorted({1, *batches})}
    for index, (cfg, cost, accuracy) in enumerate(zip(configs, costs, accuracies)):
        latency = by_batch[1][index]
        throughput = {batch: batch / timings[index]["total"].median for batch, timings in by_batch.items()}
        best = max(throughput, key=throughput.__getitem__)
        memory = measure_memory(cfg, max(by_batch), device)
        yield dict(
            model=Path(cfg.filename).stem,
            params_millions=cost.params,
            gflops=cost.gflops,
            latency_ms=1e3 * latency["total"].median,
            latency_low_ms=1e3 * latency["total"].low,
            latency_high_ms=1e3 * latency["total"].high,
            **{f"{part}_ms": 1e3 * latency[part].median if part in latency else None for part in PARTS},
            images_per_second=throughput[best],
            best_batch=best,
            memory_inference_mib=memory.inference,
            memory_training_mib=memory.training,
            memory_batch=max(by_batch),
            device=describe_device(device),
            **accuracy,
        )


def format_rows(rows: list[dict]) -> str:
    """The rows of :func:`compare_models` as a Markdown table under a line that names the machine."""
    accuracies = [name for name in ACCURACIES if any(name in row for row in rows)]
    header = [
        "model",
        "params, M",
        "GFLOPs",
        "latency, ms (quartiles)",
        "backbone + neck + head, ms",
        "images/s (batch)",
    ]
    header += [f"memory, MiB, batch {rows[0]['memory_batch']}: inference", "training", *accuracies]
    table = [header]
    for row in rows:
        parts = " + ".join("-" if row[f"{part}_ms"] is None else f"{row[f'{part}_ms']:.1f}" for part in PARTS)
        table.append(
            [
                row["model"],
                f"{row['params_millions']:.2f}",
                f"{row['gflops']:.3g}",
                f"{row['latency_ms']:.1f} ({row['latency_low_ms']:.1f}..{row['latency_high_ms']:.1f})",
                parts,
                f"{row['images_per_second']:.1f} ({row['best_batch']})",
                f"{row['memory_inference_mib']:.0f}",
                f"{row['memory_training_mib']:.0f}",
                *(f"{row[name]:.3f}" if name in row else "" for name in accuracies),
            ]
        )
    return "\n".join(
        [f"On {rows[0]['device']}; medians; all models run in turns in one process.", "", *markdown_table(table)]
    )


def _write(rows: list[dict], out: Path) -> None:
    """Write the table as csv, json and Markdown, and the plot if an accuracy was measured."""
    out.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (out / "comparison.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    (out / "comparison.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (out / "comparison.md").write_text(format_rows(rows) + "\n", encoding="utf-8")
    metric = next((name for name in ACCURACIES if any(name in row for row in rows)), None)
    if metric is not None:
        _draw([row for row in rows if metric in row], metric, out / "comparison.png")


def _draw(rows: list[dict], metric: str, path: Path) -> None:
    """Draw accuracy against latency and against MACs, side by side."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, column, label in zip(axes, ("latency_ms", "gflops"), ("latency, ms, batch 1", "GFLOPs (MACs)")):
        for row in rows:
            axis.plot(row[column], row[metric], "o", label=row["model"])
        axis.set_xlabel(label)
        axis.set_xlim(0, 1.1 * max(row[column] for row in rows))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(metric)
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))  # beside the plots: long names
    figure.savefig(path, dpi=120)

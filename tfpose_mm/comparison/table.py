"""Cost and accuracy of several models in one table."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from ..engine.running import KeepSamples, need_checkpoint, run_test
from ..errors import UserError
from ..tables import markdown_table
from .accuracy_plot import Point, draw_accuracy_plot
from .complexity import count_complexity
from .latency import PARTS, describe_device, time_parts
from .memory import measure_memory

# the first one that is measured is the accuracy in the plot
ACCURACIES = ("coco/AP", "PCK@0.2/PCK", "PCK")


def compare_models(
    configs: Sequence[Config],
    checkpoints: Sequence[str | None],
    batches: Sequence[int] = (1, 8),
    repeats: int = 20,
    device: str = "cpu",
    out: str | Path = "work_dirs/benchmark",
) -> list[dict]:
    """Measure parameters, MACs, latency by part, throughput, memory and, with checkpoints, accuracy of models.

    All models are timed in turns in one process, so that changes of the machine's speed affect all of them.

    Args:
        configs: Configs of top-down estimators.
        checkpoints: A checkpoint for each config, ``None`` to measure no accuracy.
        batches: Batch sizes for the throughput; latency is always measured with batch size 1.
        repeats: Timed rounds.
        device: ``"cpu"`` or a CUDA device.
        out: Folder for the logs of tests and ``benchmark.csv``, ``.json``, ``.md`` and, with accuracy, ``.png``.

    Returns:
        A row for each model; the units are in the names of the columns.

    Raises:
        UserError: If the device or a checkpoint is missing, or if the numbers of configs and checkpoints differ.
    """
    out = Path(out)
    if device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"The device {device} needs CUDA, but torch finds no CUDA device: use cpu.")
    if len(checkpoints) != len(configs):
        raise UserError(
            f"benchmark needs a checkpoint for each of the {len(configs)} configs, or 'none' to measure no accuracy, "
            f"but got {len(checkpoints)}."
        )
    for checkpoint in filter(None, checkpoints):
        need_checkpoint(checkpoint)
    register_all_modules()
    rows = _measure(configs, checkpoints, batches, repeats, device, out)
    _write(rows, out)
    return rows


def _measure(
    configs: Sequence[Config],
    checkpoints: Sequence[str | None],
    batches: Sequence[int],
    repeats: int,
    device: str,
    out: Path,
) -> list[dict]:
    accuracies = [  # first: a wrong checkpoint ends here
        {}
        if checkpoint is None
        else run_test(cfg, checkpoint, out / f"test_{Path(cfg.filename).stem}", KeepSamples(0))[1]
        for cfg, checkpoint in zip(configs, checkpoints)
    ]
    models = [MODELS.build(cfg.model) for cfg in configs]
    shapes = [(cfg.codec.input_size[1], cfg.codec.input_size[0]) for cfg in configs]
    costs = [count_complexity(model, shape) for model, shape in zip(models, shapes)]
    models = [model.to(device).eval() for model in models]
    by_batch = {batch: time_parts(models, shapes, batch, repeats, device) for batch in sorted({1, *batches})}
    rows = []
    for index, (cfg, cost, accuracy) in enumerate(zip(configs, costs, accuracies)):
        latency = by_batch[1][index]
        throughput = {batch: batch / timings[index]["total"].median for batch, timings in by_batch.items()}
        best = max(throughput, key=throughput.__getitem__)
        memory = measure_memory(cfg, max(by_batch), device)
        row = dict(
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
        )
        rows.append(dict(row, **accuracy))
    return rows


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
    with (out / "benchmark.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    (out / "benchmark.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (out / "benchmark.md").write_text(format_rows(rows) + "\n", encoding="utf-8")
    metric = next((name for name in ACCURACIES if any(name in row for row in rows)), None)
    if metric is not None:
        points = [Point(row["model"], row[metric], row["latency_ms"], row["gflops"]) for row in rows if metric in row]
        draw_accuracy_plot(points, metric, out / "benchmark.png")

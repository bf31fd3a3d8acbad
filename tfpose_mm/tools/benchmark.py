"""Compare models: parameters, multiply-adds, latency by part, throughput, memory and, with checkpoints, accuracy.

All models are timed in one process, in turns, so that a drift of the machine hits all alike; medians and quartiles are
given. One absolute time of one machine says little: compare the rows.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from tfpose_mm.analysis import count, describe_device, measure_memory, time_parts
from tfpose_mm.analysis.speed import PARTS
from tfpose_mm.visualization import Point, draw_accuracy_plot

from .cli import make_parser, markdown_table, positive, run
from .runs import KeepSamples, add_cfg_options, need_checkpoint, read_config, run_test
from .speed_suite import write_speed_page

# the first that a test measures is the accuracy of the plot
ACCURACIES = ("coco/AP", "PCK@0.2/PCK", "PCK")


def benchmark(
    configs: list[Config], checkpoints: list[str | None], batches: list[int], repeats: int, device: str, out: Path
) -> list[dict]:
    """Measure models.

    Args:
        configs: Configs of top-down estimators.
        checkpoints: The weights of each, ``None`` for those whose accuracy is not wanted.
        batches: Batch sizes for throughput; latency is always of batch 1.
        repeats: Timed rounds.
        device: ``"cpu"`` or a CUDA device.
        out: Folder for the logs of tests.

    Returns:
        A row for each model; the units are in the columns' names.
    """
    models = [MODELS.build(cfg.model) for cfg in configs]
    shapes = [(cfg.codec.input_size[1], cfg.codec.input_size[0]) for cfg in configs]
    costs = [count(model, shape) for model, shape in zip(models, shapes)]
    models = [model.to(device).eval() for model in models]
    by_batch = {batch: time_parts(models, shapes, batch, repeats, device) for batch in sorted({1, *batches})}
    rows = []
    for index, (cfg, checkpoint, cost) in enumerate(zip(configs, checkpoints, costs)):
        latency = by_batch[1][index]
        throughput = {batch: batch / timings[index]["total"].median for batch, timings in by_batch.items()}
        best = max(throughput, key=throughput.get)
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
        if checkpoint is not None:
            row.update(run_test(cfg, checkpoint, out / f"test_{row['model']}", KeepSamples(0))[1])
        rows.append(row)
    return rows


def format_rows(rows: list[dict]) -> str:
    """The rows as a Markdown table under a line on the machine; accuracies where one was measured."""
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
    return "\n".join([f"On {rows[0]['device']}; medians, in turns in one process.", "", *markdown_table(table)])


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("configs", nargs="*", help="configs of top-down estimators, or MMPose's own as mmpose::path")
    parser.add_argument("--checkpoints", nargs="+", help="a checkpoint for each config, 'none' for no accuracy")
    parser.add_argument("--batches", nargs="+", type=positive, help="for throughput (default: 1 8)")
    parser.add_argument("--repeats", type=positive, help="timed rounds (default: 20)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/benchmark"), help="folder for table, csv, plot")
    parser.add_argument(
        "--suite", choices=["speed"], help="instead of configs: TFPose beside MMPose's own, as speed.md"
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> int:
    """Measure, print, write; 1 if the speed suite missed a bound."""
    args = parse_args()
    register_all_modules()
    if args.device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"There is no CUDA device for --device {args.device}: use --device cpu.")
    if bool(args.suite) == bool(args.configs):
        raise ValueError("benchmark needs configs or --suite speed, but got both or neither: name what to measure.")
    if args.suite:
        if any((args.checkpoints, args.batches, args.repeats, args.cfg_options)):
            raise ValueError(
                "--suite speed measures the same everywhere and takes only --device and --out, but got more: leave out "
                "--checkpoints, --batches, --repeats and --cfg-options, or name configs in place of the suite."
            )
        missed = write_speed_page(args.out, args.device)
        print("\n".join([f"{args.out}/speed.md", *(f"missed: {sentence}" for sentence in missed)]))
        return 1 if missed else 0
    names = args.checkpoints or ["none"] * len(args.configs)
    if len(names) != len(args.configs):
        raise ValueError(
            f"--checkpoints needs one for each of the {len(args.configs)} configs, 'none' for no accuracy, but got "
            f"{len(names)}."
        )
    configs = [read_config(config, args.cfg_options) for config in args.configs]
    checkpoints = [None if name == "none" else name for name in names]
    for checkpoint in filter(None, checkpoints):
        need_checkpoint(checkpoint)
    rows = benchmark(configs, checkpoints, args.batches or [1, 8], args.repeats or 20, args.device, args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (args.out / "benchmark.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    (args.out / "benchmark.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    table = format_rows(rows)
    (args.out / "benchmark.md").write_text(table + "\n", encoding="utf-8")
    print(table)
    metric = next((name for name in ACCURACIES if any(name in row for row in rows)), None)
    if metric is not None:
        points = [Point(r["model"], r[metric], r["latency_ms"], r["gflops"]) for r in rows if metric in r]
        draw_accuracy_plot(points, metric, args.out / "benchmark.png")
    print(f"table, csv{', plot' if metric else ''}: {args.out}/benchmark.*")
    return 0


if __name__ == "__main__":
    run(main)

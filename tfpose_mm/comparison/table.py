"""Cost and accuracy of several models in one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from ..config_files import config_name, read_config
from ..datasets.config_data import input_size, need_annotations
from ..engine.running import KeepSamples, need_checkpoint, need_device, run_test
from ..errors import UserError, need_at_least
from ..tables import markdown_table
from .complexity import count_complexity
from .latency import PARTS, describe_device, time_parts
from .memory import measure_memory

ACCURACIES = ("coco/AP", "PCK@0.2/PCK", "PCK")
COLUMNS = {
    "model": "{model}",
    "params, M": "{params_millions:.2f}",
    "GFLOPs": "{gflops:.3g}",
    "latency, ms (quartiles)": "{latency_ms:.1f} ({latency_low_ms:.1f}..{latency_high_ms:.1f})",
    "backbone + neck + head, ms": "{parts}",
    "images/s (batch size)": "{images_per_second:.1f} ({batch_size})",
    "memory, MiB (batch size): inference": "{memory_inference_mib:.0f} ({batch_size})",
    "training": "{memory_training_mib:.0f} ({batch_size})",
}


class Comparison(list[dict]):
    """A row for each model; printed as a Markdown table under a line that names the machine."""

    def __str__(self) -> str:
        """The table."""
        accuracies = [name for name in ACCURACIES if any(name in row for row in self)]
        table = [[*COLUMNS, *accuracies]]
        for row in self:
            parts = " + ".join("-" if row[f"{part}_ms"] is None else f"{row[f'{part}_ms']:.1f}" for part in PARTS)
            cells = [text.format(**row, parts=parts) for text in COLUMNS.values()]
            table.append([*cells, *(f"{row[name]:.3f}" if name in row else "" for name in accuracies)])
        machine = f"On {self[0]['device']}; medians; all models run in turns in one process."
        return "\n".join([machine, "", *markdown_table(table)])


def compare_models(
    configs: Sequence[str | Path | Config],
    *,
    checkpoints: Sequence[str] = (),
    batch_size: int = 8,
    repeats: int = 20,
    device: str = "cpu",
    out: str | Path = "work_dirs/comparison",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> Comparison:
    """Compare models: size, GFLOPs, latency, memory and, with checkpoints, accuracy.

    Latency is given by part. All models run in turns; the table has medians and quartiles. Compare the rows of one
    table, not absolute times of different machines.

    Args:
        configs: One or several configs of top-down estimators, names of packaged ones, or MMPose's own as mmpose::path.
        checkpoints: A checkpoint for each config, in the same order; 'none' in its place measures no accuracy.
        batch_size: Batch size of throughput and memory; latency is measured with batch size 1.
        repeats: Timed rounds.
        device: cpu, or a GPU as cuda:0.
        out: Folder for comparison.json and the logs of tests.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        A row for each model; the units are in the names of the columns.

    Raises:
        UserError: If the device or a checkpoint is missing, or if the numbers of configs and checkpoints differ.
    """
    need_at_least(1, repeats=repeats, batch_size=batch_size)
    need_device(device)
    cfgs = [read_config(config, cfg_options) for config in configs]
    files = [None if name == "none" else name for name in checkpoints or ["none"] * len(cfgs)]
    if len(files) != len(cfgs):
        raise UserError(
            f"--checkpoints needs one for each of the {len(cfgs)} configs, or 'none' to measure no accuracy, "
            f"but got {len(checkpoints)}."
        )
    for cfg, checkpoint in zip(cfgs, files):
        if isinstance(cfg.get("codec"), list):
            raise UserError("Memory is measured with one codec, but the config has a list of them: choose another.")
        if checkpoint:
            need_checkpoint(checkpoint)
            need_annotations(cfg)
    register_all_modules()
    out, names = Path(out), [*map(config_name, cfgs)]
    accuracies = [  # first: a wrong checkpoint ends here
        run_test(cfg, checkpoint, out / f"test_{name}", KeepSamples(0))[1] if checkpoint else {}
        for cfg, checkpoint, name in zip(cfgs, files, names)
    ]
    models = [MODELS.build(cfg.model) for cfg in cfgs]
    shapes = [input_size(cfg)[::-1] for cfg in cfgs]
    costs = [count_complexity(model, shape) for model, shape in zip(models, shapes)]
    models = [model.to(device).eval() for model in models]
    alone, many = (time_parts(models, shapes, batch, repeats, device) for batch in (1, batch_size))
    rows = Comparison()
    for cfg, name, cost, latency, throughput, accuracy in zip(cfgs, names, costs, alone, many, accuracies):
        memory = measure_memory(cfg, batch_size, device)
        row = dict(
            model=name,
            params_millions=cost.params,
            gflops=cost.gflops,
            latency_ms=1e3 * latency["total"].median,
            latency_low_ms=1e3 * latency["total"].low,
            latency_high_ms=1e3 * latency["total"].high,
            **{f"{part}_ms": 1e3 * latency[part].median if part in latency else None for part in PARTS},
            images_per_second=batch_size / throughput["total"].median,
            batch_size=batch_size,
            memory_inference_mib=memory.inference,
            memory_training_mib=memory.training,
            device=describe_device(device),
            **accuracy,
        )
        rows.append(row)
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return rows

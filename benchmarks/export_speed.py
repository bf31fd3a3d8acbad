"""The speed of exported models: TFPose beside SimpleBaseline, in ONNX Runtime, OpenVINO and torch.

It writes export_speed.md and export_speed.png. All models and engines run in turns in one process, in float32 unless a
row says otherwise. Ratios are to the fastest exported float32 row of SimpleBaseline. Weights and images are random,
without flip test.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import tempfile
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.utils import register_all_modules

from benchmarks.command_line import make_parser, positive, run
from benchmarks.timing import ratio_of, time_functions
from tfpose_mm.comparison.latency import Timing, describe_device
from tfpose_mm.export.graph import InferenceGraph
from tfpose_mm.export.onnx_file import write_onnx
from tfpose_mm.export.runner import start_onnxruntime, start_openvino
from tfpose_mm.models.heads import TFPoseHead
from tfpose_mm.models.layers import set_attn_implementation
from tfpose_mm.tables import markdown_table

from .peer_graph import PeerGraph
from .speed_models import BASELINE, build, peer, tfpose

RESULTS = Path(__file__).parent / "results"
SIZE = (192, 256)  # w, h
# longest time in units of SimpleBaseline's
BOUNDS = {"TFPose R50, N_E 0": 1.2, "TFPose R50, N_E 4": 1.5, "TFPose R50, N_E 6": 1.8}
TORCH, COMPILED = "torch", "torch.compile"


class Candidate(NamedTuple):
    """A model in an engine.

    Attributes:
        model: Name of the model.
        engine: Name and precision of the engine.
        function: It predicts a batch of images.
    """

    model: str
    engine: str
    function: Callable[[np.ndarray], object]


def all_models(size: tuple[int, int]) -> dict[str, Config]:
    """Configs of the measured models, by name."""
    own = {name: tfpose(size, int(name.split()[-1])) for name in BOUNDS}
    return {BASELINE: peer(BASELINE, size), **own}


def candidates(
    cfgs: dict[str, Config], size: tuple[int, int], folder: Path, threads: int, with_compile: bool
) -> list[Candidate]:
    """Export all models and load them into all engines.

    Args:
        cfgs: The models.
        size: (w, h) of the input.
        folder: Folder for the exported files.
        threads: Threads of each engine.
        with_compile: Whether torch.compile is an engine, too.

    Returns:
        The candidates, those of the first model first.
    """
    found = []
    for name, cfg in cfgs.items():
        model = build(cfg, "cpu")
        if name == BASELINE:
            graph = PeerGraph(model)
        else:
            graph = InferenceGraph(model, dict(flip_indices=range(cfg.model.head.num_joints)), size, False)
        path = folder / f"{len(found)}.onnx"
        write_onnx(graph, size, path, {}, fp16=False)
        found += [Candidate(name, engine, function) for engine, function in _engines(path, threads).items()]
        functions = _torch_functions(model, with_compile)
        found += [Candidate(name, engine, function) for engine, function in functions.items()]
    return found


def _engines(path: Path, threads: int) -> dict[str, Callable[[np.ndarray], object]]:
    """A function for each engine and its options."""
    functions = {"ONNX Runtime": start_onnxruntime(path, threads, ["CPUExecutionProvider"])[0]}
    if find_spec("openvino"):
        functions["OpenVINO"] = start_openvino(path, threads, "f32", "LATENCY")[0]
        functions["OpenVINO, THROUGHPUT"] = start_openvino(path, threads, "f32", "THROUGHPUT")[0]
        functions["OpenVINO, bfloat16"] = start_openvino(path, threads, "bf16", "LATENCY")[0]
    return functions


def _torch_functions(model: BaseModel, with_compile: bool) -> dict[str, Callable[[np.ndarray], object]]:
    """The model in torch, and on request compiled with constant weights."""
    functions = {TORCH: partial(_forward, model)}
    if with_compile:
        copied = copy.deepcopy(model)
        if isinstance(copied.head, TFPoseHead):
            set_attn_implementation(copied, "grid_sample")
        functions[COMPILED] = torch.compile(partial(_forward, copied), dynamic=False, options={"freezing": True})
    return {name: partial(_run_torch, function) for name, function in functions.items()}


def _forward(model: BaseModel, images: torch.Tensor) -> object:
    return model.head(model.extract_feat(images))


def _run_torch(function: Callable[[torch.Tensor], object], batch: np.ndarray) -> object:
    with torch.inference_mode():
        return function(torch.from_numpy(batch))


def measure(found: Sequence[Candidate], size: tuple[int, int], batch: int, repeats: int) -> list[Timing]:
    """Time all candidates in turns.

    Args:
        found: The candidates.
        size: (w, h) of the input.
        batch: Batch size.
        repeats: Timed rounds.

    Returns:
        A timing for each.
    """
    width, height = size
    images = np.random.default_rng(0).standard_normal((batch, 3, height, width), dtype=np.float32)
    return time_functions([partial(item.function, images) for item in found], repeats, "cpu")


def fastest(found: Sequence[Candidate], timings: Sequence[Timing], model: str) -> Timing:
    """The fastest exported float32 candidate of a model."""
    of_model = [
        timing
        for item, timing in zip(found, timings)
        if item.model == model and item.engine not in (TORCH, COMPILED) and "bfloat16" not in item.engine
    ]
    return min(of_model, key=lambda timing: timing.median)


def format_table(found: Sequence[Candidate], by_batch: dict[int, list[Timing]]) -> list[str]:
    """A Markdown table of times and ratios.

    Args:
        found: The candidates.
        by_batch: Their timings for each batch size.

    Returns:
        The lines.
    """
    header = ["model", "engine"]
    for batch in by_batch:
        header += [f"batch {batch}, ms", "ratio"]
    rows = [header]
    for index, item in enumerate(found):
        row = [item.model, item.engine]
        for timings in by_batch.values():
            ratio = ratio_of(timings[index], fastest(found, timings, BASELINE))
            row += [timings[index].in_ms(), f"{ratio:.2f}"]
        rows.append(row)
    return markdown_table(rows)


def find_misses(found: Sequence[Candidate], by_batch: dict[int, list[Timing]]) -> list[str]:
    """Sentences about models that are slower than their bound, or slower than torch."""
    missed = []
    for batch, timings in by_batch.items():
        reference = fastest(found, timings, BASELINE)
        for model, bound in BOUNDS.items():
            best = fastest(found, timings, model)
            ratio = ratio_of(best, reference)
            if ratio > bound:
                missed.append(f"{model}, batch {batch}: {ratio:.2f} times SimpleBaseline, but should be {bound:g}")
            in_torch = next(t for item, t in zip(found, timings) if (item.model, item.engine) == (model, TORCH))
            if ratio_of(best, in_torch) > 1:
                missed.append(f"{model}, batch {batch}: slower than in torch")
    return missed


def draw(found: Sequence[Candidate], by_batch: dict[int, list[Timing]], path: Path) -> None:
    """Draw bars of the time per image, a panel for each batch size.

    Args:
        found: The candidates.
        by_batch: Their timings for each batch size.
        path: The image file.
    """
    engines = list(dict.fromkeys(item.engine for item in found))
    models = list(dict.fromkeys(item.model for item in found))
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots(1, len(by_batch), squeeze=False)[0]
    width = 0.8 / len(engines)
    for axis, (batch, timings) in zip(axes, by_batch.items()):
        for place, engine in enumerate(engines):
            times = {item.model: timing.median for item, timing in zip(found, timings) if item.engine == engine}
            centres = [models.index(model) + (place + 0.5) * width - 0.4 for model in times]
            axis.bar(centres, [1e3 * value / batch for value in times.values()], width, label=engine)
        axis.set_xticks(range(len(models)), [model.replace(" R50", "\nR50") for model in models], fontsize=8)
        axis.set_ylabel(f"ms per image, batch {batch}")
        axis.grid(alpha=0.3, axis="y")
    axes[-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    figure.savefig(path, dpi=120)


def write_page(
    out: Path,
    cfgs: dict[str, Config],
    size: tuple[int, int],
    repeats: dict[int, int],
    threads: int,
    with_compile: bool = False,
) -> list[str]:
    """Measure and write ``export_speed.md`` and ``export_speed.png``.

    Args:
        out: Folder.
        cfgs: The models, SimpleBaseline first.
        size: (w, h) of the input.
        repeats: Timed rounds for each batch size.
        threads: Threads of each engine.
        with_compile: Whether torch.compile is an engine, too.

    Returns:
        The missed bounds, as sentences.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        found = candidates(cfgs, size, Path(folder), threads, with_compile)
        by_batch = {batch: measure(found, size, batch, rounds) for batch, rounds in repeats.items()}
    missed = find_misses(found, by_batch)
    packages = ["onnxruntime", *(["openvino"] if find_spec("openvino") else [])]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    out.mkdir(parents=True, exist_ok=True)
    lines = format_table(found, by_batch)
    (out / "export_speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(found, by_batch, out / "export_speed.png")
    print("\n".join([*lines, "", f"On {describe_device('cpu')}, {versions}; {size[0]}x{size[1]} pixels (w x h)."]))
    return missed


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for export_speed.md and export_speed.png")
    parser.add_argument("--threads", type=positive, default=2, help="threads of each engine (default: %(default)s)")
    parser.add_argument(
        "--compile", action="store_true", help="also torch.compile with constant weights; it needs torch 2.8 or later"
    )
    return parser.parse_args()


def main() -> int:
    """Measure, print and write; return 1 if a bound was missed."""
    args = parse_args()
    register_all_modules()
    missed = write_page(args.out, all_models(SIZE), SIZE, {1: 15, 8: 5}, args.threads, args.compile)
    print("\n".join(f"missed: {sentence}" for sentence in missed))
    return 1 if missed else 0


if __name__ == "__main__":
    run(main)

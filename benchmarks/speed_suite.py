"""The speed suite: latency, throughput, memory and training time of TFPose and of MMPose's own models.

It writes speed.md and speed.png, section by section. The exit status is 1 if the default attention of the CPU is less
than 2 times (with gradients 1.5 times) as fast as mmcv's function in plain torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from mmpose.utils import register_all_modules

from benchmarks.command_line import make_parser, run
from benchmarks.timing import autocast, matmul_rate, ratio_of, time_training
from tfpose_mm.comparison.complexity import count_complexity
from tfpose_mm.comparison.latency import PARTS, describe_device, time_parts
from tfpose_mm.comparison.memory import measure_memory
from tfpose_mm.errors import UserError
from tfpose_mm.models.layers import DeformableAttention
from tfpose_mm.tables import markdown_table

from .attention_speed import kernel_launches, time_attention
from .growth_plot import Growth, draw_growth
from .speed_models import BASELINE, all_models, build, peer, tfpose

RESULTS = Path(__file__).parent / "results"
# lowest speed-up over mmcv's attention in plain torch, with 1008 queries and batch sizes 1 and 8, on the CPU
FORWARD_BOUND, TRAINING_BOUND = 2.0, 1.5
BOUND_QUERIES = 1008


class Budget(NamedTuple):
    """Sizes and numbers of rounds.

    Attributes:
        sizes: (w, h) of the inputs.
        batches: Batch sizes.
        repeats: Timed rounds at each batch size.
        training_batch: Batch size of training, and of the memory.
        growth: Whether to measure how latency grows.
    """

    sizes: tuple[tuple[int, int], ...] = ((192, 256), (288, 384))
    batches: tuple[int, ...] = (1, 8, 32)
    repeats: tuple[int, ...] = (15, 7, 3)
    training_batch: int = 8
    growth: bool = True


class Page:
    """The lines of the page and the missed bounds.

    Args:
        path: The file. It is written after each section, so that results are kept if the suite is stopped.
        head: Lines above the result.
    """

    def __init__(self, path: Path, head: Sequence[str] = ()) -> None:
        self.path = path
        self.head = head
        self.lines: list[str] = []
        self.missed: list[str] = []

    def add(self, title: str, text: str, rows: Sequence[Sequence[str]] = ()) -> None:
        """Add a section, print it and write the page."""
        section = [f"## {title}", "", text, ""]
        section += [*markdown_table(rows), ""] if rows else []
        print("\n".join(section), flush=True)
        self.lines += section
        self._write([*self._misses(), "**Not finished.**"])

    def finish(self) -> None:
        """Write the result."""
        self._write(self._misses() or ["All bounds hold in this run."])

    def _misses(self) -> list[str]:
        return [f"**Missed**: {sentence}." for sentence in self.missed]

    def _write(self, result: list[str]) -> None:
        text = "\n".join([*self.head, *result, "", *self.lines]).rstrip() + "\n"
        self.path.write_text(text, encoding="utf-8")

    def judge(self, what: str, value: float, holds: bool, bound: str) -> str:
        """Record a missed bound; return the cell of the table."""
        if not holds:
            self.missed.append(f"{what}: {value:.2f}, but must be {bound}")
        return f"{value:.2f} ({bound}{'' if holds else ', MISSED'})"


def attention_section(page: Page, device: str, repeats: int) -> None:
    """Measure attention alone, compared with mmcv's function in plain torch."""
    rows = [["batch", "queries", "forward, ms", "speed-up", "with gradients, ms", "speed-up", "largest difference"]]
    for batch in (1, 8):
        for queries in (BOUND_QUERIES, 17):
            speed = time_attention(batch, queries, repeats, device)
            gains = [ratio_of(theirs, mine) for mine, theirs in (speed.forward, speed.training)]
            where = f"attention, batch {batch}, {queries} queries"
            cells = [f"{gain:.1f}" for gain in gains]
            if device == "cpu" and queries == BOUND_QUERIES:
                bounds = (("forward", FORWARD_BOUND), ("with gradients", TRAINING_BOUND))
                cells = [
                    page.judge(f"{where}, {kind}, speed-up", gain, gain >= bound, f">= {bound:g}")
                    for gain, (kind, bound) in zip(gains, bounds)
                ]
            row = [str(batch), str(queries)]
            for (mine, theirs), cell in zip((speed.forward, speed.training), cells):
                row += [f"{theirs.in_ms(1)} -> {mine.in_ms(1)}", cell]
            rows.append([*row, f"{speed.error:.0e}"])
    text = (
        "mmcv's `multi_scale_deformable_attn_pytorch` -> `multi_scale_deformable_attention`; 3 levels of a 256x192 "
        "input, 8 heads of 32 channels. Quartiles in brackets."
    )
    page.add("Deformable attention", text, rows)


def models_section(page: Page, size: tuple[int, int], budget: Budget, device: str, precision: str) -> None:
    """Measure latency, throughput and memory of all models at one input size."""
    cfgs = all_models(size)
    shape = (size[1], size[0])
    costs = [count_complexity(MODELS.build(cfg.model), shape) for cfg in cfgs.values()]
    models = [build(cfg, device) for cfg in cfgs.values()]
    dtype = getattr(torch, precision)
    reduced = None if dtype is torch.float32 else dtype
    with autocast(device, reduced):
        timings = {
            batch: time_parts(models, [shape] * len(models), batch, repeats, device)
            for batch, repeats in zip(budget.batches, budget.repeats)
        }
    rate = matmul_rate(device, dtype)
    base = list(cfgs).index(BASELINE)
    header = ["model", "GMACs", "batch 1, ms (quartiles)", "backbone + neck + head"]
    header += [f"x SimpleBaseline, batch {batch}" for batch in budget.batches]
    header += [f"images/s, batch {batch}" for batch in budget.batches]
    header.append("GMACs/s (of a matrix product's)")
    header += [f"MiB, batch {budget.training_batch}: inference", "training"] if reduced is None else []
    rows = [header]
    for index, ((name, cfg), cost) in enumerate(zip(cfgs.items(), costs)):
        of_model = {batch: timing[index] for batch, timing in timings.items()}
        first = of_model[budget.batches[0]]
        parts = (f"{1e3 * first[part].median:.0f}" if part in first else "-" for part in PARTS)
        row = [name, f"{cost.gflops:.2f}", first["total"].in_ms(), " + ".join(parts)]
        for batch, timing in of_model.items():
            ratio = ratio_of(timing["total"], timings[batch][base]["total"])
            row.append(f"{ratio:.2f}")
        speeds = [batch / timing["total"].median for batch, timing in of_model.items()]
        reached = max(speeds) * cost.gflops
        row += [*(f"{speed:.1f}" for speed in speeds), f"{reached:.0f} ({reached / rate:.0%})"]
        if reduced is None:  # memory is measured in float32
            row += [f"{mib:.0f}" for mib in measure_memory(cfg, budget.training_batch, device)]
        rows.append(row)
    rounds = ", ".join(map(str, budget.repeats))
    batches = ", ".join(map(str, budget.batches))
    text = (
        f"A product of large matrices reaches {rate:.0f} GMACs/s. Batch sizes {batches}: medians of {rounds} rounds. "
        "A ratio is the median of the ratios of all rounds. GMACs/s are those of the fastest batch size."
    )
    page.add(f"{size[1]}x{size[0]}, {precision}", text, rows)


def training_section(page: Page, size: tuple[int, int], budget: Budget, device: str) -> None:
    """Measure training iterations of all models."""
    cfgs = all_models(size)
    timings = time_training(list(cfgs.values()), budget.training_batch, budget.repeats[1], device)
    base = timings[list(cfgs).index(BASELINE)]
    rows = [["model", "an iteration, ms (quartiles)", "x SimpleBaseline", "images/s"]]
    for name, timing in zip(cfgs, timings):
        speed = f"{budget.training_batch / timing.median:.1f}"
        rows.append([name, timing.in_ms(), f"{ratio_of(timing, base):.2f}", speed])
    text = f"Losses, gradients and optimizer; batch size {budget.training_batch}, float32."
    page.add(f"Training at {size[1]}x{size[0]}", text, rows)


def growth(device: str, repeats: int) -> list[Growth]:
    """Measure latency against batch size, input size, K and N_E."""
    small = (192, 256)
    both = {
        "TFPose R50, N_E 6": lambda size, joints: tfpose(size, 6, joints),
        BASELINE: lambda size, joints: peer(BASELINE, size, joints),
    }

    def measure(cfgs: list[Config], sizes: list[tuple[int, int]], batch: int = 1) -> list[float]:
        shapes = [(height, width) for width, height in sizes]
        timings = time_parts([build(cfg, device) for cfg in cfgs], shapes, batch, repeats, device)
        return [1e3 * timing["total"].median / batch for timing in timings]

    def panel(label: str, ticks: list, points: list[tuple[tuple[int, int], int, int]]) -> Growth:
        latencies = {name: [] for name in both}
        for size, joints, batch in points:
            for name, value in zip(both, measure([make(size, joints) for make in both.values()], [size] * 2, batch)):
                latencies[name].append(value)
        return Growth(label, [str(tick) for tick in ticks], latencies)

    batches, sizes, joints = (1, 2, 4, 8, 16), ((96, 128), (192, 256), (288, 384), (384, 512)), (17, 68, 133)
    layers = (0, 1, 2, 4, 6)
    with_layers = measure([tfpose(small, number) for number in layers], [small] * len(layers))
    return [
        panel("batch", list(batches), [(small, 17, batch) for batch in batches]),
        panel("input size, w x h", [f"{w}x{h}" for w, h in sizes], [(size, 17, 1) for size in sizes]),
        panel("keypoints K", list(joints), [(small, number, 1) for number in joints]),
        Growth("encoder layers N_E", [str(number) for number in layers], {"TFPose R50": with_layers}),
    ]


def kernel_section(page: Page, device: str) -> None:
    """Check on CUDA that mmcv's kernel runs and that no operation synchronises with the GPU."""
    rows = [["precision", "launches of ms_deformable_im2col", "attentions of the model"]]
    model = build(tfpose((192, 256), 6), device)
    attentions = sum(isinstance(module, DeformableAttention) for module in model.modules())
    images = torch.randn(3, 3, 256, 192, device=device)
    for precision in ("float32", "float16", "bfloat16"):
        with torch.autocast("cuda", getattr(torch, precision), enabled=precision != "float32"):
            try:
                launches = kernel_launches(model, images)
            except RuntimeError as error:
                if "synchroniz" not in str(error):
                    raise
                page.missed.append(f"the forward pass in {precision} synchronises with the GPU: {error}")
                rows.append([precision, "-", str(attentions)])
                continue
        if launches != attentions:
            page.missed.append(f"mmcv's kernel ran {launches} times in {precision}, but must run {attentions} times")
        rows.append([precision, str(launches), str(attentions)])
    text = "A forward pass under torch's profiler, in which torch raises an error if anything synchronises."
    page.add("mmcv's CUDA kernel", text, rows)


def write_speed_page(out: Path, device: str, budget: Budget = Budget()) -> list[str]:  # noqa: B008 - a NamedTuple
    """Run the suite and write ``speed.md`` and, if ``budget.growth`` is set, ``speed.png``.

    Args:
        out: Folder.
        device: ``"cpu"`` or a CUDA device.
        budget: Sizes and numbers of rounds.

    Returns:
        The missed bounds, as sentences.
    """
    out.mkdir(parents=True, exist_ok=True)
    on_device = "" if device == "cpu" else f" --device {device}"
    head = [
        "# Speed",
        "",
        f"    python -m benchmarks.speed_suite{on_device}",
        "",
        f"On {describe_device(device)}; random weights and images.",
        "All models run in turns in one process: compare the rows, not absolute times of different machines.",
        "The command exits with 1 if a bound is missed.",
        "",
    ]
    page = Page(out / "speed.md", head)
    for size in budget.sizes:
        for precision in ("float32",) if device == "cpu" else ("float32", "float16", "bfloat16"):
            models_section(page, size, budget, device, precision)
    if device != "cpu":
        kernel_section(page, device)
    attention_section(page, device, budget.repeats[0])
    training_section(page, budget.sizes[0], budget, device)
    if budget.growth:
        draw_growth(growth(device, budget.repeats[1]), out / "speed.png")
        page.add("Growth", "![Latency against batch size, input size, keypoints and encoder layers](speed.png)")
    page.finish()
    return page.missed


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda:0 (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for speed.md and speed.png")
    return parser.parse_args()


def main() -> int:
    """Measure, print and write; return 1 if a bound was missed."""
    args = parse_args()
    register_all_modules()
    if args.device != "cpu" and not torch.cuda.is_available():
        raise UserError(f"There is no CUDA device for --device {args.device}: use --device cpu.")
    missed = write_speed_page(args.out, args.device)
    print("\n".join([f"{args.out}/speed.md", *(f"missed: {sentence}" for sentence in missed)]))
    return 1 if missed else 0


if __name__ == "__main__":
    run(main)

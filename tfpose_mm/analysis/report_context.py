"""Sections of the report that are not about test results: attention, training, size and latency, recipe, versions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel

from ..comparison.complexity import count_complexity
from ..comparison.latency import PARTS, describe_device, time_parts
from ..datasets.config_data import input_size
from ..errors import UserError
from ..host.requirements import list_versions
from ..recipe.parameter_groups import describe
from ..version import __version__
from .attention_study import AttentionStudy
from .curves import draw_curves, draw_losses
from .figures import DrawnFigure
from .report_page import Code, Pictures, Section, Table, Text
from .training_log import read_curve, read_log, read_losses

BATCHES, ROUNDS = (1, 8), 10  # of the latency
CURVES = ("coco/AP", "PCK")  # metrics of COCO and MPII, in this order, if none is chosen


def attention_section(study: AttentionStudy, figures: Sequence[DrawnFigure]) -> Section:
    """The paper's figures.

    Args:
        study: The recorded attention.
        figures: Its figures; ``layer_errors`` is in another section.

    Returns:
        The section.
    """
    note = f"Recorded without the flip test; the means are over {study.persons} persons."
    shown = [(figure.path.read_bytes(), figure.caption) for figure in figures if figure.path.stem != "layer_errors"]
    return Section("Attention", [Text(note), Pictures(shown)])


def training_section(logs: Sequence[tuple[str, str]], metric: str | None, figures: Path) -> Section:
    """Curves of trainings.

    Args:
        logs: Label and work directory of each training.
        metric: The validated metric; ``None`` takes AP, or MPII's PCK, or another that all logs have.
        figures: Folder for the pictures.

    Returns:
        The section.

    Raises:
        UserError: If a log is missing or does not have the metric.
    """
    metric = metric or _common_metric(logs)
    curves = [read_curve(label, folder, metric) for label, folder in logs]
    losses = [(label, read_losses(folder)) for label, folder in logs]
    figures.mkdir(parents=True, exist_ok=True)
    draw_curves(curves, metric, figures / "curves.png")
    items = [((figures / "curves.png").read_bytes(), f"{metric} of the validations.")]
    if any(values for _, values in losses):
        draw_losses(losses, figures / "losses.png")
        items.append(((figures / "losses.png").read_bytes(), "Losses, learning rate and training accuracy."))
    folders = ", ".join(f"{label} ({folder})" for label, folder in logs)
    return Section("Training", [Text(f"From the logs of {folders}."), Pictures(items)])


def _common_metric(logs: Sequence[tuple[str, str]]) -> str:
    found = [{name for entry in read_log(folder) if "iter" not in entry for name in entry} for _, folder in logs]
    common = set.intersection(*found) - {"step", "time", "data_time"}
    if not common:
        raise UserError(
            f"The logs of {', '.join(folder for _, folder in logs)} must have a metric in common, but have none: check "
            "the paths, or wait for the first validation."
        )
    return next((name for name in CURVES if name in common), min(common))


def cost_section(cfg: Config, model: BaseModel, checkpoint: str | Path, device: str) -> tuple[Section, dict]:
    """Parameters, GFLOPs, size of the file and latency.

    Args:
        cfg: The config.
        model: The model that it builds.
        checkpoint: The checkpoint file.
        device: Where the latency is measured.

    Returns:
        The section and its numbers.
    """
    width, height = input_size(cfg)
    complexity = count_complexity(model, (height, width))
    content = Path(checkpoint).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    model = model.to(device)
    timings = {batch: time_parts([model], [(height, width)], batch, ROUNDS, device)[0] for batch in BATCHES}
    rows = [["input size (h x w)", f"{height} x {width}"], ["parameters", f"{complexity.params:.2f} M"]]
    rows += [["GFLOPs (MACs)", f"{complexity.gflops:.3f}"], ["checkpoint", f"{len(content) / 1e6:.1f} MB"]]
    parts = [part for part in (*PARTS, "total") if part in timings[BATCHES[0]]]
    latency = [[part, *(timings[batch][part].in_ms(1) for batch in BATCHES)] for part in parts]
    latency.append(["images/s", *(f"{batch / timings[batch]['total'].median:.1f}" for batch in BATCHES)])
    note = (
        f"Latency on {describe_device(device)}: median and quartiles of {ROUNDS} runs in ms, without flip test, data "
        "loading and decoding. Times depend on the machine and on what else runs there."
    )
    header = ["part", *(f"batch size {batch}" for batch in BATCHES)]
    sha = Text(f"SHA-256 of the checkpoint: {digest}.")
    numbers = dict(
        parameters_million=complexity.params,
        gflops=complexity.gflops,
        checkpoint_sha256=digest,
        latency_ms={batch: 1e3 * timings[batch]["total"].median for batch in BATCHES},
    )
    blocks = [Table(["", "value"], rows), sha, Text(note), Table(header, latency)]
    return Section("Size and latency", blocks), numbers


def recipe_section(cfg: Config, model: BaseModel) -> Section:
    """The recipe, and the whole config.

    Args:
        cfg: The config.
        model: The model that it builds.

    Returns:
        The section.
    """
    blocks = [Code("The whole config", cfg.pretty_text)]
    if "train_dataloader" in cfg and "optim_wrapper" in cfg:
        blocks.insert(0, Code("Optimizer, schedule, augmentation, targets, loss", describe(cfg, model)))
    return Section("Recipe", blocks)


def versions_section(cfg: Config, options: dict | None) -> Section:
    """Versions of the packages, the config's path and the changes to it.

    Args:
        cfg: The config.
        options: Changes to the config file.

    Returns:
        The section.
    """
    rows = [["tfpose_mm", __version__], *(list(item) for item in list_versions().items() if item[0] != "tfpose_mm")]
    changes = "none" if not options else ", ".join(f"{name}={value}" for name, value in options.items())
    return Section(
        "Versions",
        [Table(["package", "version"], rows), Text(f"Config: {cfg.filename}. Changes to the config: {changes}.")],
    )

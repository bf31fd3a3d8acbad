"""The sections of the report on a trained model: numbers in, blocks of a page out."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Sequence

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel

from tfpose_lite.host import list_versions

from ..evaluation import ERROR_KINDS
from ..utils import UserError, keypoint_names
from ..version import __version__
from ..visualization import Bars, Code, Pictures, Section, Table, Text, Tiles, draw_curves, draw_losses, draw_pair
from .attention import AttentionStudy
from .complexity import count_complexity
from .error_analysis import EvaluatedModel
from .evaluation import NAMES, metric_rows
from .latency import PARTS, describe_device, time_parts
from .recipe import describe
from .training_log import read_curve, read_log, read_losses

# colour-blind safe (Okabe and Ito)
COLOURS = {"good": "#009e73", "jitter": "#f0e442", "inversion": "#d55e00", "swap": "#cc79a7", "miss": "#3d4852"}
MEANINGS = {
    "good": "keypoint similarity above 0.85",
    "jitter": "similarity of 0.5 to 0.85",
    "inversion": "nearest to the left or right counterpart of the same person",
    "swap": "nearest to a keypoint of another person",
    "miss": "similarity below 0.5 with all of these",
}
CELL = (240, 320)  # width and height of a case's picture, in pixels
TILES = 6  # metrics in the summary
BATCHES, ROUNDS = (1, 8), 10  # of the latency
CAPTIONS = (
    (r"fig6_query_attention", "Mean query-to-query attention of each decoder layer (Figure 6 of the paper)."),
    (r"fig8_symmetric_layer(\d+)", "Attention between left and right keypoints, decoder layer {} (Figure 8)."),
    (r"fig9_adjacent_layer(\d+)", "Attention between linked keypoints, decoder layer {} (Figure 9)."),
    (
        r"person(\d+)_fig7_sampling_points",
        "Person {}: sampling points of each keypoint, finest level, last layer; yellow: the annotation (Figure 7).",
    ),
    (
        r"person(\d+)_fig11_(\w+)",
        "Person {}: sampling points of {}, coloured by attention weight, each level; cross: the annotation (Figures "
        "11, 12).",
    ),
    (
        r"person(\d+)_refinement",
        "Person {}: coordinates y_0 to y_{{N_D}} of each keypoint; yellow: the annotation.",
    ),
    (r"fig10_qualitative", "Predictions, upper body green, lower body blue (Figure 10)."),
)


def _fixed(value: float, digits: int = 3) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def summary_section(result: EvaluatedModel, costs: dict) -> Section:
    """The main metrics and costs, and all metrics.

    Args:
        result: Metrics and errors.
        costs: The numbers of :func:`cost_section`.

    Returns:
        The section.
    """
    rows = metric_rows(result.metrics)
    tiles = [*rows[:TILES], ("parameters", f"{costs['parameters_million']:.1f} M")]
    tiles += [("GFLOPs (MACs)", f"{costs['gflops']:.2f}"), ("ms per image", f"{costs['latency_ms'][BATCHES[0]]:.0f}")]
    blocks: list = [Tiles(tiles)]
    if result.detected is not None:
        detected = dict(metric_rows(result.detected))
        table = [[name, value, detected.get(name, "-")] for name, value in rows]
        blocks.append(Table(["metric", "annotated boxes", "detected boxes"], table))
        note = "mim test uses the detected boxes. All other sections use the annotated boxes."
    else:
        blocks.append(Table(["metric", "value"], [list(row) for row in rows]))
        note = "These are the metrics of mim test, with annotated boxes."
    return Section("Metrics", [*blocks, Text(note)])


def keypoint_section(result: EvaluatedModel) -> Section:
    """PCK and OKS of each keypoint.

    Args:
        result: Metrics and errors.

    Returns:
        The section.
    """
    errors = result.errors
    labelled = (errors.kinds >= 0).sum(0)
    values = np.stack([errors.pck(0.2), errors.pck(0.1), errors.pck(0.05), errors.mean_similarity])
    rows = [
        [name, str(number), *map(_fixed, column)]
        for name, number, column in zip(keypoint_names(result.metainfo), labelled, values.T)
    ]
    weights = labelled / max(labelled.sum(), 1)
    rows.append(["all", str(labelled.sum()), *(_fixed(np.nansum(value * weights)) for value in values)])
    note = (
        "PCK@t is the fraction of annotated keypoints with an error below t times the longer side of the box. OKS "
        "is the mean keypoint similarity, the term of each keypoint in COCO's OKS. The last row is the mean over all "
        "annotated keypoints."
    )
    header = ["keypoint", "annotated", "PCK@0.2", "PCK@0.1", "PCK@0.05", "OKS"]
    return Section("Keypoints", [Table(header, rows, total=True), Text(note)])


def error_section(result: EvaluatedModel) -> Section:
    """Kinds of errors of each keypoint.

    Args:
        result: Metrics and errors.

    Returns:
        The section.
    """
    counts = result.errors.counts()
    labels = [*keypoint_names(result.metainfo), "all"]
    counts = np.vstack([counts, counts.sum(0)])
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    legend = [(kind, COLOURS[kind], MEANINGS[kind]) for kind in ERROR_KINDS]
    several = len({person.image_id for person in result.persons}) < len(result.persons)
    note = (
        "The kinds are those of coco-analyze (Ronchi and Perona, ICCV 2017). The similarity is one keypoint's term "
        "in COCO's OKS. It is computed with the annotated keypoint, its counterpart, and those of the other persons in "
        "the image; the largest decides. Keypoints without an annotation are left out."
    )
    note += "" if several else " No image of this data set has two annotated persons, so there are no swaps."
    drawn = [(label, row) for label, row in zip(labels, fractions.tolist()) if sum(row)]
    table = [[label, *(f"{100 * value:.1f} %" for value in row)] for label, row in drawn]
    return Section(
        "Kinds of errors", [Text(note), Bars(legend, drawn), Table(["keypoint", *ERROR_KINDS], table, total=True)]
    )


def layer_section(study: AttentionStudy, figures: Path) -> Section:
    """Error after each decoder layer.

    Args:
        study: Errors by decoder layer.
        figures: Folder with ``layer_errors.png``.

    Returns:
        The section.
    """
    means = np.nanmean(study.errors, axis=1)
    rows = []
    for layer, (correct, mean) in enumerate(zip(study.correct, means)):
        change = "-" if layer == 0 else f"{correct - study.correct[layer - 1]:+.3f}"
        rows.append([f"{layer}" if layer else "0 (y_0)", _fixed(correct), change, _fixed(100 * mean, 2)])
    note = (
        f"Without the flip test, over {study.persons} persons. y_0 is learned and does not depend on the image. The "
        "error is the mean over keypoints of the distance from the annotation, in per cent of the longer side of the "
        "box."
    )
    header = ["decoder layer", "PCK@0.2", "change", "error, %"]
    picture = (figures / "layer_errors.png").read_bytes()
    return Section(
        "Decoder layers",
        [Table(header, rows), Text(note), Pictures([(picture, "PCK@0.2 and mean error after each decoder layer.")])],
    )


def case_section(result: EvaluatedModel, number: int) -> Section:
    """Best and worst cases, and those with the most inversions and swaps, with pictures.

    Args:
        result: Persons and errors.
        number: Number of best and of worst cases.

    Returns:
        The section.
    """
    annotated = (result.errors.kinds >= 0).sum(1)
    half = min(result.errors.kinds.shape[1] / 2, annotated.max(initial=0))
    usable = np.flatnonzero(annotated >= max(half, 1))
    by_oks = usable[np.argsort(result.errors.oks[usable], kind="stable")]
    blocks: list = [
        Text(
            "Left: annotation. Right: prediction. Rings mark errors, in the colours of the kinds of errors. Persons "
            f"with fewer than {max(half, 1):g} annotated keypoints are left out."
        )
    ]
    groups = [("Worst by OKS", by_oks[:number]), ("Best by OKS", by_oks[::-1][:number])]
    for kind in ("inversion", "swap"):
        counts = (result.errors.kinds[usable] == ERROR_KINDS.index(kind)).sum(1)
        most = np.argsort(-counts, kind="stable")[: number // 2]
        groups.append((f"Most {kind}s", usable[most[counts[most] > 0]]))
    for title, indices in groups:
        if len(indices):
            blocks += [Text(f"{title}:"), Pictures([_draw_case(result, index) for index in indices], small=True)]
    return Section("Cases", blocks)


def _draw_case(result: EvaluatedModel, index: int) -> tuple[bytes, str]:
    person, kinds = result.persons[index], result.errors.kinds[index]
    marks = [(k, _bgr(COLOURS[ERROR_KINDS[kind]])) for k, kind in enumerate(kinds) if kind > 0]
    pair = draw_pair(
        person.image_path,
        person.box,
        person.target,
        person.labelled,
        person.keypoints,
        result.metainfo,
        CELL,
        marks,
    )
    _, encoded = cv2.imencode(".jpg", pair, [cv2.IMWRITE_JPEG_QUALITY, 85])
    found = [
        f"{(kinds == kind).sum()} {name}" for kind, name in enumerate(ERROR_KINDS) if kind and (kinds == kind).any()
    ]
    name = f"{Path(person.image_path).name}, annotation {person.instance_id}"
    return encoded.tobytes(), f"{name}: OKS {_fixed(result.errors.oks[index])}; {', '.join(found) or 'no error'}"


def _bgr(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[start : start + 2], 16) for start in (5, 3, 1))


def attention_section(study: AttentionStudy, pictures: Sequence[Path]) -> Section:
    """The paper's figures.

    Args:
        study: The recorded attention.
        pictures: Files of :func:`tfpose_mm.apis.figures.draw_study`.

    Returns:
        The section.
    """
    items = []
    for path in pictures:
        for pattern, caption in CAPTIONS:
            match = re.fullmatch(pattern, path.stem)
            if match:
                items.append((path.read_bytes(), caption.format(*match.groups())))
    note = f"Recorded without the flip test; the means are over {study.persons} persons."
    return Section("Attention", [Text(note), Pictures(items)])


def training_section(logs: dict[str, str], metric: str | None, cfg: Config, figures: Path) -> Section:
    """Curves of trainings.

    Args:
        logs: Work directories of trainings by label.
        metric: The validated metric; ``None`` takes the first of COCO's and MPII's usual ones that all logs have.
        cfg: The config of the model.
        figures: Folder for the pictures.

    Returns:
        The section.

    Raises:
        UserError: If a log is missing or does not have the metric.
    """
    metric = metric or _common_metric(logs)
    figures.mkdir(parents=True, exist_ok=True)
    draw_curves([read_curve(label, folder, metric) for label, folder in logs.items()], metric, figures / "curves.png")
    draw_losses({label: read_losses(folder) for label, folder in logs.items()}, figures / "losses.png")
    folders = ", ".join(f"{label} ({folder})" for label, folder in logs.items())
    captions = {"curves": f"{metric} of the validations.", "losses": "Losses, learning rate and training accuracy."}
    items = [((figures / f"{name}.png").read_bytes(), caption) for name, caption in captions.items()]
    return Section("Training", [Text(f"From the logs of {folders}."), Pictures(items)])


def _common_metric(logs: dict[str, str]) -> str:
    """The metric of the curves: AP, else another that all logs have."""
    found = [{name for entry in read_log(folder) if "iter" not in entry for name in entry} for folder in logs.values()]
    common = set.intersection(*found) - {"step", "time", "data_time"}
    if not common:
        raise UserError(
            f"The logs of {', '.join(logs.values())} must have a metric in common, but have none: check the paths, or "
            "wait for the first validation."
        )
    return next((name for name in NAMES if name in common), sorted(common)[0])


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
    width, height = cfg.model.head.decoder.input_size
    complexity = count_complexity(model, (height, width))
    content = Path(checkpoint).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    model = model.to(device)
    timings = {batch: time_parts([model], [(height, width)], batch, ROUNDS, device)[0] for batch in BATCHES}
    rows = [["input size (h x w)", f"{height} x {width}"], ["parameters", f"{complexity.params:.2f} M"]]
    rows += [["GFLOPs (MACs)", f"{complexity.gflops:.3f}"], ["checkpoint", f"{len(content) / 1e6:.1f} MB"]]
    rows.append(["sha256", digest])
    parts = [part for part in (*PARTS, "total") if part in timings[BATCHES[0]]]
    latency = [[part, *(timings[batch][part].in_ms(1) for batch in BATCHES)] for part in parts]
    per_second = (f"{batch / timings[batch]['total'].median:.1f}" for batch in BATCHES)
    latency.append(["images/s", *per_second])
    note = (
        f"Latency on {describe_device(device)}: median and quartiles of {ROUNDS} runs in ms, without flip test, data "
        "loading and decoding. Times depend on the machine and on what else runs there."
    )
    header = ["part", *(f"batch size {batch}" for batch in BATCHES)]
    blocks = [Table(["", "value"], rows), Text(note), Table(header, latency)]
    numbers = dict(
        parameters_million=complexity.params,
        gflops=complexity.gflops,
        checkpoint_sha256=digest,
        latency_ms={batch: 1e3 * timings[batch]["total"].median for batch in BATCHES},
    )
    return Section("Size and latency", blocks), numbers


def recipe_section(cfg: Config, model: BaseModel) -> Section:
    """The recipe, and the whole config.

    Args:
        cfg: The config.
        model: The model that it builds.

    Returns:
        The section.
    """
    return Section(
        "Recipe",
        [
            Code("Optimizer, schedule, augmentation, targets, loss", describe(cfg, model)),
            Code("The whole config", cfg.pretty_text),
        ],
    )


def versions_section(cfg: Config, options: dict | None) -> Section:
    """Versions of the packages, and how the page can be written again.

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

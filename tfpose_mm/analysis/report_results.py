"""Sections of the report on results: metrics, keypoints, kinds of errors, decoder layers, cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..datasets.config_data import keypoint_names
from ..evaluation import ERROR_KINDS
from ..evaluation.metrics_table import metric_rows
from .attention_study import AttentionStudy
from .contact_sheet import draw_pair
from .diagnosis import Diagnosis, diagnosis_table, diagnosis_text
from .error_analysis import EvaluatedModel
from .figures import DrawnFigure
from .report_page import Bars, Pictures, Section, Table, Text, Tiles

# colour-blind safe (Okabe and Ito)
COLOURS = {"good": "#009e73", "jitter": "#f0e442", "inversion": "#d55e00", "swap": "#cc79a7", "miss": "#3d4852"}
MEANINGS = {
    "good": "similarity above 0.85 with the annotated keypoint",
    "jitter": "similarity of 0.5 to 0.85 with the annotated keypoint",
    "inversion": "most similar to the left or right counterpart, at least 0.5",
    "swap": "most similar to a keypoint of another person, at least 0.5",
    "miss": "similarity below 0.5 with all of these",
}
CELL = (240, 320)  # width and height of a case's picture, in pixels
MAIN_METRICS = ("AP", "AP50", "AP75", "AR", "Total", "Total@0.1")  # first in the summary
TILES = 5  # metrics in the summary
NO_SIGMAS = "The data set has no sigmas, so there is no keypoint similarity."


def _fixed(value: float, digits: int = 3) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def summary_section(result: EvaluatedModel, costs: dict) -> Section:
    """The main metrics and costs, and all metrics.

    Args:
        result: Metrics and errors.
        costs: The numbers of :func:`tfpose_mm.analysis.report_context.cost_section`.

    Returns:
        The section.
    """
    rows = metric_rows(result.metrics)
    values = {name: value for name, value in rows if "(" not in name}  # without AP (medium) and AP (large)
    order = [name for name in MAIN_METRICS if name in values]
    order += [name for name in values if name not in order]
    tiles = [(name, values[name]) for name in order[:TILES]]
    tiles += [
        ("parameters", f"{costs['parameters_million']:.1f} M"),
        ("GFLOPs (MACs)", f"{costs['gflops']:.2f}"),
        ("ms per image", f"{costs['latency_ms'][1]:.0f}"),
    ]
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
    """PCK and keypoint similarity of each keypoint.

    Args:
        result: Metrics and errors.

    Returns:
        The section.
    """
    errors = result.errors
    number = errors.labelled.sum(0)
    columns = {f"PCK@{threshold}": errors.pck(threshold) for threshold in (0.2, 0.1, 0.05)}
    note = (
        "PCK@t is the fraction of annotated keypoints with an error below t times the longer side of the box. The last "
        "row is the mean over all annotated keypoints; PCK in the section Metrics is the mean over the rows above."
    )
    if errors.similarity is None:
        note += f" {NO_SIGMAS}"
    else:
        columns["similarity"] = errors.mean_similarity
        note += " The similarity is the term of one keypoint in COCO's OKS, averaged over its annotations."
    rows = [
        [name, str(count), *map(_fixed, values)]
        for name, count, *values in zip(keypoint_names(result.metainfo), number, *columns.values())
    ]
    total = int(number.sum())
    means = (np.nansum(values * number) / total if total else np.nan for values in columns.values())
    rows.append(["all", str(total), *map(_fixed, means)])
    return Section("Keypoints", [Table(["keypoint", "number", *columns], rows, total=True), Text(note)])


def error_section(result: EvaluatedModel) -> Section:
    """Kinds of errors of each keypoint.

    Args:
        result: Metrics and errors.

    Returns:
        The section.
    """
    if result.errors.kinds is None:
        return Section("Kinds of errors", [Text(NO_SIGMAS)])
    counts = result.errors.counts()
    labels = [*keypoint_names(result.metainfo), "all"]
    counts = np.vstack([counts, counts.sum(0)])
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    legend = [(kind, COLOURS[kind], MEANINGS[kind]) for kind in ERROR_KINDS]
    note = (
        "The kinds are those of coco-analyze (Ronchi and Perona, ICCV 2017). The similarity is one keypoint's term in "
        "COCO's OKS. It is computed with the annotated keypoint, its counterpart, and those of the other persons in "
        "the image. The kind follows from the largest similarity. Keypoints without an annotation are left out. The "
        "table is in per cent."
    )
    if len({person.image_id for person in result.persons}) == len(result.persons):
        note += " Swaps need two annotated persons in an image; no image of this data set has two."
    drawn = [(label, row) for label, row in zip(labels, fractions.tolist()) if sum(row)]
    table = [[label, *(f"{100 * value:.1f}" for value in row)] for label, row in drawn]
    return Section(
        "Kinds of errors", [Text(note), Bars(legend, drawn), Table(["keypoint", *ERROR_KINDS], table, total=True)]
    )


def layer_section(study: AttentionStudy, figures: Sequence[DrawnFigure], diagnosis: Diagnosis) -> Section:
    """Error after each decoder layer, and the comparison with the auxiliary heat maps.

    Args:
        study: Errors by decoder layer.
        figures: The figures, of which ``layer_errors`` is shown.
        diagnosis: PCK by decoder layer, from y_0 of the model and from the maxima of the heat maps.

    Returns:
        The section.
    """
    rows = []
    for layer, (correct, errors) in enumerate(zip(study.correct, study.errors)):
        change = correct - study.correct[layer - 1] if layer else np.nan
        error = 100 * np.nanmean(errors) if not np.isnan(errors).all() else np.nan
        rows.append(
            [str(layer) if layer else "0 (y_0)", _fixed(correct), _signed(change), _fixed(error, 2)],
        )
    note = (
        f"Without the flip test, over {study.persons} persons. The error is the mean over keypoints of the distance "
        "from the annotation, in per cent of the longer side of the box."
    )
    pictures = [(figure.path.read_bytes(), figure.caption) for figure in figures if figure.path.stem == "layer_errors"]
    blocks: list = [Table(["decoder layer", "PCK@0.2", "change", "error, %"], rows), Text(note), Pictures(pictures)]
    if diagnosis.heatmaps is not None:
        header, *table = diagnosis_table(diagnosis)
        blocks += [
            Table(header, table),
            Text(f"{diagnosis.keypoints} keypoints, without the flip test. {diagnosis_text(diagnosis)}"),
        ]
    return Section("Decoder layers", blocks)


def _signed(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:+.3f}"


def case_section(result: EvaluatedModel, number: int) -> Section:
    """Best and worst cases, and those with the most inversions and swaps, with pictures.

    Args:
        result: Persons and errors.
        number: Number of worst and of best cases. Half as many, at least one, have the most inversions and swaps.

    Returns:
        The section.
    """
    errors = result.errors
    annotated = errors.labelled.sum(1)
    half = (errors.labelled.shape[1] + 1) // 2
    least = max(min(half, int(annotated.max(initial=0))), 1)
    usable = np.flatnonzero(annotated >= least)
    if not number or not len(usable):
        return Section("Cases", [Text("No cases are shown.")])
    badness = errors.mean_distance if errors.kinds is None else -errors.oks
    by_error = usable[np.argsort(-badness[usable], kind="stable")]
    measure = "mean error" if errors.kinds is None else "OKS"
    worst, best = by_error[:number], by_error[number:][::-1][:number]
    groups = [(f"Worst by {measure}", worst), (f"Best by {measure}", best)]
    if errors.kinds is not None:
        for kind in ("inversion", "swap"):
            counts = (errors.kinds[usable] == ERROR_KINDS.index(kind)).sum(1)
            most = np.argsort(-counts, kind="stable")[: max(number // 2, 1)]
            groups.append((f"Most {kind}s", usable[most[counts[most] > 0]]))
    note = (
        "Left: annotation. Right: prediction. Rings mark errors, in the colours of the kinds of errors. Persons "
        f"with fewer than {least} annotated keypoints are left out."
    )
    blocks: list = [Text(note)]
    for title, indices in groups:
        if len(indices):
            blocks += [Text(f"{title}:"), Pictures([_draw_case(result, index) for index in indices], small=True)]
    return Section("Cases", blocks)


def _draw_case(result: EvaluatedModel, index: int) -> tuple[bytes, str]:
    """A JPEG file and its caption."""
    person, errors = result.persons[index], result.errors
    kinds = np.zeros(len(person.keypoints), int) if errors.kinds is None else errors.kinds[index]
    marks = [(k, _bgr(COLOURS[ERROR_KINDS[kind]])) for k, kind in enumerate(kinds) if kind > 0]
    shown = (person.box, person.target, person.labelled, person.keypoints)
    pair = draw_pair(person.image_path, *shown, result.metainfo, CELL, marks)
    _, encoded = cv2.imencode(".jpg", pair, [cv2.IMWRITE_JPEG_QUALITY, 85])
    name = f"{Path(person.image_path).name}, annotation {person.instance_id}"
    if errors.kinds is None:
        return encoded.tobytes(), f"{name}: mean error {_fixed(errors.mean_distance[index])} of the box"
    found = [f"{kind} {(kinds == k).sum()}" for k, kind in enumerate(ERROR_KINDS) if k and (kinds == k).any()]
    return encoded.tobytes(), f"{name}: OKS {_fixed(errors.oks[index])}; {', '.join(found) or 'no error'}"


def _bgr(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (5, 3, 1))

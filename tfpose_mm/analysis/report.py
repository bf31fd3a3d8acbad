"""A report on a trained model: one self-contained HTML page."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from mmengine.config import Config

from ..comparison.latency import describe_device
from ..config_files import parse_cfg_options, read_config
from ..datasets.config_data import annotation_file, build_annotated_data, input_size, need_annotations
from ..engine.running import need_checkpoint, need_device
from ..errors import UserError, need_at_least
from ..evaluation.metrics_table import format_table, metric_rows
from ..host.requirements import list_versions
from ..models.heads import is_tfpose_head
from ..recipe.parameter_groups import describe
from ..version import __version__
from .contact_sheet import draw_contact_sheet
from .curves import Curve, draw_curves, read_curves, read_log, split_labels
from .error_analysis import analyse_checkpoint
from .figures import draw_recording
from .recording import need_persons
from .report_content import (
    COLOURS,
    ROUNDS,
    collect_numbers,
    draw_case,
    find_cases,
    keypoint_rows,
    layer_rows,
    measure_cost,
)

PICTURES = 24  # persons of predictions.png


class Report(NamedTuple):
    """What :func:`write_report` wrote.

    Attributes:
        page: ``report.html``.
        title: Config and annotation file.
        metrics: The metrics with annotated boxes, by MMPose's names.
    """

    page: Path
    title: str
    metrics: dict[str, float]

    def __str__(self) -> str:
        """The metrics as a table, and the page."""
        return f"{self.title}\n{format_table(self.metrics)}\nreport:      {self.page}"


def write_report(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path,
    cases: int = 8,
    persons: Sequence[int] = (0,),
    limit: int | None = None,
    logs: Sequence[str] = (),
    metric: str | None = None,
    device: str = "cpu",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> Report:
    """Write a report on a trained model: one HTML page that needs no network.

    It tests the model on the test data of its config. The page has metrics, PCK and mean similarity of each keypoint,
    kinds of errors as coco-analyze defines them, error by decoder layer, best and worst cases, attention figures,
    sizes, latency, recipe and versions. With logs it has the curves of trainings.

    Args:
        config: Config of a top-down estimator with one annotated test data set, or the name of a packaged one.
        checkpoint: Checkpoint file.
        out: Folder for report.html, report.json with the numbers, report.txt with the metrics, predictions.png,
            figures/ and the logs of the test.
        cases: Number of worst and of best cases, half as many for inversions and swaps; 0 shows none.
        persons: Numbers of the persons in the test data whose attention is drawn.
        limit: Persons for mean attention and errors by decoder layer. Defaults to all; those of persons and the first
            12 are always included.
        logs: Work directories of trainings as LABEL=FOLDER; those that differ only in their seed have the same label.
        metric: Metric of the curves. Defaults to AP, or MPII's PCK, or another of the logs.
        device: cpu, or a GPU as cuda:0, for the latency; the test uses a GPU if there is one.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The page and the metrics.

    Raises:
        UserError: If the folder already has a report; if device, checkpoint, annotations or logs are missing or do not
            fit; if a person does not exist.
    """
    need_at_least(0, cases=cases, persons=min(persons, default=0))
    need_at_least(1, limit=limit)
    cfg = read_config(config, cfg_options)
    options = parse_cfg_options(cfg_options)
    trainings = split_labels(logs)
    out = Path(out)
    page = out / "report.html"
    if page.exists():
        raise UserError(
            f"The folder must not have a report, but {page} exists: delete it or choose another folder; nothing was "
            "changed."
        )
    need_device(device)
    need_checkpoint(checkpoint)
    need_annotations(cfg)
    if is_tfpose_head(cfg.model.head):
        need_persons(len(build_annotated_data(cfg)), persons)
    curves = draw_trainings(trainings, metric, out / "figures") if trainings else {}
    result = analyse_checkpoint(cfg, checkpoint, out / "test", persons, limit)
    recording = result.recording
    figures = {} if recording is None else draw_recording(recording, out / "figures", persons)
    costs, latency = measure_cost(cfg, result.model, checkpoint, device)
    name, annotations = Path(cfg.filename or "report").stem, str(annotation_file(cfg))
    numbers = dict(config=name, checkpoint=str(checkpoint), annotations=annotations, cfg_options=options)
    numbers.update(collect_numbers(result), **costs)
    (out / "report.json").write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    least, groups = find_cases(result, cases)
    render_page(
        page,
        numbers=numbers,
        metrics=metric_rows(result.metrics),
        detected=dict(metric_rows(result.detected or {})),
        keypoints=keypoint_rows(result),
        colours=COLOURS,
        images=len({person.image_id for person in result.persons}),
        recorded=0 if recording is None else recording.persons,
        layers=[] if recording is None else layer_rows(recording),
        least=least,
        cases={title: [draw_case(result, index) for index in indices] for title, indices in groups.items()},
        figures={path.stem: (path.read_bytes(), caption) for path, caption in figures.items()},
        trainings=trainings,
        curves=[(path.read_bytes(), caption) for path, caption in curves.items()],
        input_size=input_size(cfg),
        megabytes=Path(checkpoint).stat().st_size / 1e6,
        latency=latency,
        rounds=ROUNDS,
        device=describe_device(device),
        head=cfg.model.head.type,
        recipe=describe(cfg, result.model) if "train_dataloader" in cfg and "optim_wrapper" in cfg else "",
        config=cfg.pretty_text,
        filename=cfg.filename,
        versions=dict(list_versions(), tfpose_mm=__version__),
    )
    sheet = draw_contact_sheet(result.persons[:PICTURES], result.metainfo)
    if not cv2.imwrite(str(out / "predictions.png"), sheet):
        raise RuntimeError(f"OpenCV could not write {out / 'predictions.png'}.")
    report = Report(page, f"{name} on {annotations}", result.metrics)
    (out / "report.txt").write_text(f"{report}\n", encoding="utf-8")
    return report


def draw_trainings(trainings: Sequence[tuple[str, str]], metric: str | None, folder: Path) -> dict[Path, str]:
    """Draw the curves of trainings.

    Args:
        trainings: Label and work directory of each.
        metric: The validated metric; ``None`` chooses one, see :func:`read_curves`.
        folder: Folder for the pictures.

    Returns:
        The pictures and their captions.

    Raises:
        UserError: If a log is missing or does not have the metric.
    """
    metric, curves = read_curves(trainings, metric)
    losses = [(label, read_log(log, training=True)) for label, log in trainings]
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {folder / "curves.png": f"{metric} of the validations."}
    draw_curves({metric: curves}, folder / "curves.png")
    names = sorted({name for _, values in losses for name in values})
    if names:
        panels = {name: [Curve(label, values[name]) for label, values in losses if name in values] for name in names}
        draw_curves(panels, folder / "losses.png", "iteration")
        pictures[folder / "losses.png"] = "Losses, learning rate and training accuracy."
    return pictures


def render_page(page: Path, **content: object) -> None:
    """Write the page of ``report_page.html.jinja``, which makes no request and runs no script.

    Args:
        page: The HTML file.
        **content: The variables of the template.
    """
    environment = Environment(
        loader=PackageLoader("tfpose_mm", "analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(base64=_base64, breakable=_breakable, fixed=_fixed, pick=_pick)
    page.write_text(environment.get_template("report_page.html.jinja").render(content), encoding="utf-8")


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")


def _breakable(text: str) -> Markup:
    """Escaped HTML of a text that may be broken in a narrow column."""
    return Markup(str(escape(text)).replace("_", "_<wbr>").replace("@", "<wbr>@"))


def _fixed(values: Sequence[float | None], digits: int = 3) -> list[str]:
    return ["-" if value is None or math.isnan(value) else f"{value:.{digits}f}" for value in values]


def _pick(values: Mapping, names: Sequence[str], factor: float = 1) -> list:
    return [None if values[name] is None else factor * values[name] for name in names]

"""A report on a trained model: one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from mmengine.config import Config

from ..comparison.latency import describe_device
from ..config_files import config_name, parse_cfg_options, read_config
from ..datasets.config_data import annotation_file, input_size
from ..engine.running import need_device
from ..errors import need_at_least, need_new
from ..evaluation.metrics_table import format_table, metric_rows
from ..host.requirements import list_versions
from ..recipe import describe
from ..version import __version__
from .curves import Curve, draw_curves, read_log, split_labels
from .error_analysis import analyse_checkpoint
from .figures import Drawing, draw_recording, of_validations, write_drawings
from .report_content import (
    COLOURS,
    ROUNDS,
    collect_numbers,
    draw_case,
    embed,
    find_cases,
    format_cells,
    keypoint_rows,
    layer_rows,
    measure_cost,
)


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
        out: Folder for report.html, report.json with the numbers, report.txt with the metrics, figures/ and the logs of
            the test.
        cases: Number of worst and of best cases, half as many for inversions and swaps; 0 shows none.
        persons: Numbers of the persons in the test data whose attention is drawn.
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
    cfg, options, trainings = read_config(config, cfg_options), parse_cfg_options(cfg_options), split_labels(logs)
    out = Path(out)
    page = out / "report.html"
    need_new(page)
    need_device(device)
    curves = write_drawings(out / "figures", _of_trainings(trainings, metric)) if trainings else {}
    result = analyse_checkpoint(cfg, checkpoint, out / "test", persons)
    recording = result.recording
    figures = {} if recording is None else draw_recording(recording, out / "figures", persons)
    costs, latency = measure_cost(cfg, result.model, checkpoint, device)
    name, annotations = config_name(cfg), str(annotation_file(cfg))
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
        figures={path.stem: (embed(path.read_bytes()), caption) for path, caption in figures.items()},
        trainings=trainings,
        curves=[(embed(path.read_bytes()), caption) for path, caption in curves.items()],
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
    report = Report(page, f"{name} on {annotations}", result.metrics)
    (out / "report.txt").write_text(f"{report}\n", encoding="utf-8")
    return report


def _of_trainings(trainings: Sequence[tuple[str, str]], metric: str | None) -> Iterator[Drawing]:
    """Curves of the validations, and of what is logged by iteration; a UserError if a log or its metric is missing."""
    yield of_validations("curves", trainings, metric)
    losses = [(label, read_log(log, training=True)) for label, log in trainings]
    names = sorted({name for _, values in losses for name in values})
    panels = {name: [Curve(label, values[name]) for label, values in losses if name in values] for name in names}
    if panels:
        draw = partial(draw_curves, panels, steps="iteration")
        yield Drawing("losses", "Losses, learning rate and training accuracy.", {}, draw)


def render_page(page: Path, **content: object) -> None:
    """Write the page of ``report_page.html.jinja``, which makes no request and runs no script, with its variables."""
    environment = Environment(
        loader=PackageLoader("tfpose_mm", "analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cells=format_cells)
    page.write_text(environment.get_template("report_page.html.jinja").render(content), encoding="utf-8")

"""Train several configs under one budget and put their results beside each other.

A plan is a yaml file::

    metric: PCK@0.2/PCK
    runs:
      - name: TFPose
        config: configs/benchmark/tfpose_small_lspet_128x96.py
        seeds: [0, 1]
      - name: TFPose, no auxiliary loss
        config: configs/benchmark/tfpose_small_lspet_128x96.py
        options: {model.head.aux_branch: false}

Each run is one ``mim train``; what has finished is not trained again, what was interrupted is resumed. The table, the
curves and their numbers are written beside the plan.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import mmengine

from tfpose_mm.visualization import Curve, draw_curves

from .cli import make_parser, markdown_table, positive, run
from .runs import need_file

DIVERGED = "diverged"


class Run(NamedTuple):
    """One training of a plan.

    Attributes:
        name: What it is called in the table.
        config: The config.
        options: Changes to it, by dotted keys.
        seed: The random seed.
        folder: Where it is trained.
    """

    name: str
    config: str
    options: dict
    seed: int
    folder: Path

    @property
    def settings(self) -> list[str]:
        """Its options and seed, as ``--cfg-options`` takes them."""
        return [f"{key}={value}" for key, value in {**self.options, "randomness.seed": self.seed}.items()]

    @property
    def recipe(self) -> str:
        """What it trains, as text."""
        return " ".join([self.config, *self.settings])

    @property
    def command(self) -> list[str]:
        """The command that trains it."""
        mim = str(Path(sys.executable).with_name("mim"))
        return [
            mim,
            "train",
            "mmpose",
            self.config,
            "--work-dir",
            str(self.folder),
            "--resume",
            "--cfg-options",
            *self.settings,
        ]


def read_plan(path: Path, out: Path) -> tuple[str, list[Run]]:
    """Read a plan.

    Args:
        path: The yaml file.
        out: Folder under which the runs are trained.

    Returns:
        The metric that is compared, and the runs, one for each seed.

    Raises:
        FileNotFoundError: If plan or config is missing.
        ValueError: If two runs have the same name, or a run has an unknown field.
    """
    need_file("plan", path, "docs/benchmark/ holds some")
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"{path} is not a plan: it must be a .yaml file.")
    content = mmengine.load(str(path))
    if not {"metric", "runs"} <= set(content):
        raise ValueError(f"{path} has {', '.join(content)}: a plan needs metric and runs.")
    runs = []
    for entry in content["runs"]:
        fits = {"name", "config"} <= set(entry) <= {"name", "config", "options", "seeds"}
        if not fits or not isinstance(entry.get("seeds", []), list):
            raise ValueError(
                f"A run of {path} has {', '.join(entry)}: it needs name and config, and takes options and a list of "
                "seeds."
            )
        need_file("config", entry["config"], "run this tool in the folder that the plan's paths start from")
        slug = re.sub(r"\W+", "_", entry["name"]).strip("_").lower()
        for seed in entry.get("seeds", [0]):
            folder = out / path.stem / slug / f"seed{seed}"
            runs.append(Run(entry["name"], entry["config"], entry.get("options", {}), seed, folder))
    folders = [job.folder for job in runs]
    if len(set(folders)) < len(folders):
        raise ValueError(f"Two runs of {path} have the same name and seed: give each its own.")
    return content["metric"], runs


def train(job: Run, threads: int) -> bool:
    """Train a run unless it has finished.

    Args:
        job: The run.
        threads: Threads that torch may use.

    Returns:
        Whether it has finished now.
    """
    done = job.folder / "finished"
    if not done.exists():
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "command").write_text(job.recipe, encoding="utf-8")
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        print(f"{job.name}, seed {job.seed} begins: {job.folder / 'log'}", file=sys.stderr)
        with (job.folder / "log").open("a", encoding="utf-8") as log:
            code = subprocess.call(job.command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        if code:
            print(f"{job.name}, seed {job.seed} failed: see {job.folder / 'log'}", file=sys.stderr)
            return False
        done.touch()
    return True


def check_unchanged(job: Run) -> None:
    """Refuse to put results under a plan that has changed since.

    Args:
        job: The run.

    Raises:
        ValueError: If it was begun with another config or other options.
    """
    began = job.folder / "command"
    if began.exists() and began.read_text(encoding="utf-8") != job.recipe:
        raise ValueError(
            f"{job.name}, seed {job.seed} was begun with '{began.read_text(encoding='utf-8')}', but the plan now says "
            f"'{job.recipe}': delete {job.folder}, or give the run another name."
        )


def collect(job: Run) -> dict[str, dict[int, float]]:
    """What a run has measured.

    Args:
        job: The run; it may be unfinished.

    Returns:
        For each metric of its validations the value at each epoch; a resumed epoch counts once. ``DIVERGED`` in place
        of metrics from the step on at which the loss was not a number: what is measured then means nothing.
    """
    curves: dict[str, dict[int, float]] = {}
    for path in sorted(job.folder.glob("*/vis_data/scalars.json")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if not math.isfinite(record.get("loss", 0.0)):
                return {DIVERGED: {record["step"]: 0.0}}
            if "loss" not in record:
                for name in sorted(set(record) - {"step", "time", "data_time"}):
                    curves.setdefault(name, {})[record["step"]] = record[name]
    return curves


def format_results(metric: str, runs: list[Run], results: list[dict[str, dict[int, float]]]) -> str:
    """The last measurement of each run as a Markdown table, seeds of a run in one row.

    Args:
        metric: The metric that is compared.
        runs: The runs.
        results: What each has measured.

    Returns:
        The table, in the plan's order.
    """
    names = list(dict.fromkeys(job.name for job in runs))
    others = [name for name in ("coco/AP",) if name != metric and any(name in result for result in results)]
    rows = [["model", "epochs", short_name(metric), "each seed", *map(short_name, others)]]
    for name in names:
        of_name = [result for job, result in zip(runs, results) if job.name == name and metric in result]
        diverged = [job for job, result in zip(runs, results) if job.name == name and DIVERGED in result]
        if not of_name:
            state = DIVERGED if diverged else "not trained yet"
            rows.append([name, "-", state, "", *("" for _ in others)])
            continue
        last = [max(result[metric]) for result in of_name]
        values = [result[metric][epoch] for result, epoch in zip(of_name, last)]
        cells = [name, "/".join(map(str, sorted(set(last)))), f"{sum(values) / len(values):.3f}"]
        cells.append(", ".join([*(f"{value:.3f}" for value in values), *(DIVERGED for _ in diverged)]))
        for other in others:
            measured = [result[other][epoch] for result, epoch in zip(of_name, last)]
            cells.append(f"{sum(measured) / len(measured):.3f}")
        rows.append(cells)
    return "\n".join(markdown_table(rows))


def short_name(metric: str) -> str:
    """What people call a metric.

    Args:
        metric: As MMPose names it, with its evaluator's prefix.

    Returns:
        The prefix of a PCK, which says its threshold; of others the name without prefix.
    """
    prefix, _, name = metric.partition("/")
    return prefix if name in ("", "PCK") else name


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("plan", type=Path, help="yaml file: metric and runs")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/head_to_head"), help="folder of the trainings")
    parser.add_argument("--jobs", type=positive, default=1, help="runs at a time (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=1, help="threads of each (default: %(default)s)")
    parser.add_argument("--collect", action="store_true", help="train nothing, only collect what there is")
    return parser.parse_args()


def main() -> int:
    """Train, collect, write."""
    args = parse_args()
    metric, runs = read_plan(args.plan, args.out)
    for job in runs:
        check_unchanged(job)
    finished = True
    if not args.collect:
        with ThreadPoolExecutor(args.jobs) as pool:
            finished = all(list(pool.map(lambda job: train(job, args.threads), runs)))
    results = [collect(job) for job in runs]
    for job, result in zip(runs, results):
        for step in result.get(DIVERGED, ()):
            print(
                f"{job.name}, seed {job.seed} diverged: its loss was not a number at step {step}. Lower its rate and "
                f"delete {job.folder}.",
                file=sys.stderr,
            )
            finished = False
    measured = {name for result in results for name in result} - {DIVERGED}
    if measured and metric not in measured:
        raise ValueError(f"No run of {args.plan} measured {metric}: choose one of {', '.join(sorted(measured))}.")
    table = format_results(metric, runs, results)
    curves = [Curve(job.name, r[metric]) for job, r in zip(runs, results) if metric in r]
    numbers = [dict(name=job.name, config=job.config, options=job.options, seed=job.seed, results=r)
               for job, r in zip(runs, results)]  # fmt: skip
    args.plan.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    args.plan.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    if curves:
        draw_curves(curves, short_name(metric), args.plan.with_suffix(".png"))
    print(table)
    return 0 if finished else 1


if __name__ == "__main__":
    run(main)

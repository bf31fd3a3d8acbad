"""Train several configs and compare their results.

A plan is a yaml file; ``options`` of the plan apply to all runs::

    metric: PCK@0.2/PCK
    options: {train_cfg.max_epochs: 6}
    runs:
      - name: TFPose
        config: benchmarks/configs/tfpose_small_lspet_128x96.py
        seeds: [0, 1]
      - name: TFPose, no auxiliary loss
        config: benchmarks/configs/tfpose_small_lspet_128x96.py
        options: {model.head.aux_branch: false}

Each run is one ``mim train``. A finished run is not trained again, an interrupted one is resumed, and a run whose
resolved config has changed is refused. Table, curves and their numbers are written to ``benchmarks/results``, with a
hash of the resolved config. A run whose results are stored there, by any plan, is not trained again. With --again it is
trained, unless its folder in --out is finished.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.command_line import make_parser, positive, run
from tfpose_mm.analysis.curves import Curve, draw_curves
from tfpose_mm.errors import UserError
from tfpose_mm.tables import markdown_table

from .runs import Run, check_unchanged, config_hash, read_plan

DIVERGED = "diverged"
RESULTS = Path(__file__).parent / "results"


def train(job: Run, hashed: str, threads: int) -> bool:
    """Train a run unless it has finished.

    Args:
        job: The run.
        hashed: Its :func:`config_hash`, which is stored in its folder.
        threads: Threads that torch may use.

    Returns:
        Whether it has finished now.
    """
    done = job.folder / "finished"
    if not done.exists():
        job.folder.mkdir(parents=True, exist_ok=True)
        (job.folder / "config_hash").write_text(hashed, encoding="utf-8")
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])  # for projects/
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": path}
        print(f"{job.name}, seed {job.seed} starts: see {job.folder / 'log'}", file=sys.stderr)
        with (job.folder / "log").open("a", encoding="utf-8") as log:
            code = subprocess.call(job.command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        if code:
            print(f"{job.name}, seed {job.seed} failed: see {job.folder / 'log'}", file=sys.stderr)
            return False
        done.touch()
    return True


def collect(job: Run) -> dict[str, dict[int, float]]:
    """Read the metrics of a run.

    Args:
        job: The run; it may be unfinished.

    Returns:
        For each validation metric, the value at each epoch; a resumed epoch counts once. If the loss was NaN or
        infinite, ``DIVERGED`` and the step instead of metrics, because later metrics are not valid.
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


def read_stored(folder: Path) -> dict[str, dict[str, dict[int, float]]]:
    """Read the results of finished runs.

    Args:
        folder: The folder with the results of all plans.

    Returns:
        For the :func:`config_hash` of each finished run its metrics, as :func:`collect` returns them.
    """
    stored = {}
    for path in sorted(folder.glob("*.json")):
        for entry in json.loads(path.read_text(encoding="utf-8")):
            if entry.get("finished"):
                stored[entry["hash"]] = {
                    metric: {int(epoch): value for epoch, value in values.items()}
                    for metric, values in entry["results"].items()
                }
    return stored


def format_results(metric: str, runs: list[Run], results: list[dict[str, dict[int, float]]]) -> str:
    """Format the last measurement of each run as a Markdown table, with the seeds of a run in one row.

    Args:
        metric: The compared metric.
        runs: The runs.
        results: The metrics of each.

    Returns:
        The table, in the plan's order.
    """
    names = list(dict.fromkeys(job.name for job in runs))
    others = [
        name for name in ("PCK@0.1/PCK", "coco/AP") if name != metric and any(name in result for result in results)
    ]
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
    """A short name of a metric.

    Args:
        metric: MMPose's name of the metric, with the prefix of its evaluator.

    Returns:
        For a PCK, the prefix, which includes the threshold; for other metrics, the name without the prefix.
    """
    prefix, _, name = metric.partition("/")
    return prefix if name in ("", "PCK") else name


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("plan", type=Path, help="yaml file: metric and runs")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/head_to_head"), help="folder for the trainings")
    parser.add_argument("--jobs", type=positive, default=1, help="runs at the same time (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=1, help="threads per run (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for table, numbers and curves")
    parser.add_argument("--collect", action="store_true", help="train nothing, only collect the metrics")
    parser.add_argument(
        "--again",
        action="store_true",
        help="also train runs whose results are stored; runs that are finished in --out are skipped",
    )
    return parser.parse_args()


def main() -> int:
    """Train the runs, collect their metrics and write the results."""
    args = parse_args()
    metric, runs = read_plan(args.plan, args.out)
    hashes = [config_hash(job) for job in runs]  # before the threads start: MMEngine cannot read configs in parallel
    for job, hashed in zip(runs, hashes):
        check_unchanged(job, hashed)
    stored = {} if args.again else read_stored(args.results)
    missing = [(job, hashed) for job, hashed in zip(runs, hashes) if hashed not in stored]
    finished = True
    if not args.collect and missing:
        with ThreadPoolExecutor(args.jobs) as pool:
            finished = all(list(pool.map(train, *zip(*missing), [args.threads] * len(missing))))
    results = [stored.get(hashed) or collect(job) for job, hashed in zip(runs, hashes)]
    for job, result in zip(runs, results):
        for step in result.get(DIVERGED, ()):
            print(
                f"{job.name}, seed {job.seed} diverged: its loss was NaN or infinite at step {step}. Lower its "
                f"learning rate and delete {job.folder}.",
                file=sys.stderr,
            )
            finished = False
    measured = {name for result in results for name in result} - {DIVERGED}
    if measured and metric not in measured:
        raise UserError(f"No run of {args.plan} measured {metric}: choose one of {', '.join(sorted(measured))}.")
    table = format_results(metric, runs, results)
    args.results.mkdir(parents=True, exist_ok=True)
    files = args.results / args.plan.name
    curves = [Curve(job.name, r[metric]) for job, r in zip(runs, results) if metric in r]
    numbers = [
        dict(
            name=job.name,
            config=job.config,
            options=job.options,
            seed=job.seed,
            hash=hashed,
            finished=hashed in stored or (job.folder / "finished").exists(),
            results=result,
        )
        for job, hashed, result in zip(runs, hashes, results)
    ]
    files.with_suffix(".json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    files.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    if curves:
        draw_curves({short_name(metric): curves}, files.with_suffix(".png"))
    print(table)
    return 0 if finished else 1


if __name__ == "__main__":
    run(main)

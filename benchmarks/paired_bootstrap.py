"""Test whether a model of a plan is better than another: paired bootstrap over the persons.

All models predict the same persons, so persons are drawn with replacement and PCK is computed for both models on the
same draw. The interval holds 95 % of the differences. Several seeds of a model count as their mean.

The last checkpoint of each run is tested once. Which keypoints are right is stored beside the results of the plan, so
that the checkpoints are not needed again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmpose.structures import PoseDataSample

from benchmarks.command_line import make_parser, positive, run
from tfpose_mm.config_files import read_config
from tfpose_mm.datasets.config_data import labelled_keypoints
from tfpose_mm.engine.running import KeepSamples, run_test
from tfpose_mm.errors import UserError
from tfpose_mm.tables import markdown_table

from .head_to_head import RESULTS
from .runs import Run, check_unchanged, config_hash, parse_options, read_plan

THRESHOLDS = (0.2, 0.1)  # of PCK, in longer sides of the box


def grade(samples: Sequence[PoseDataSample]) -> list[str]:
    """Grade the predicted keypoints of each person.

    Args:
        samples: Predicted samples with annotations and boxes.

    Returns:
        For each person a digit for each keypoint: 0 if it is not annotated, else 1 plus the number of
        :data:`THRESHOLDS` that its error is below.
    """
    grades = []
    for sample in samples:
        predicted, annotated = sample.pred_instances, sample.gt_instances
        x1, y1, x2, y2 = np.asarray(annotated.bboxes)[0]
        error = np.linalg.norm(predicted.keypoints[0] - annotated.keypoints[0], axis=-1) / max(x2 - x1, y2 - y1)
        passed = sum((error < threshold).astype(int) for threshold in THRESHOLDS)
        grades.append("".join(map(str, np.where(labelled_keypoints(annotated), 1 + passed, 0))))
    return grades


def grade_run(job: Run) -> list[str]:
    """Grade the last checkpoint of a run on the test data of its config.

    Raises:
        UserError: If the run has no checkpoint.
    """
    pointer = job.folder / "last_checkpoint"
    if not pointer.exists():
        raise UserError(f"{job.name}, seed {job.seed} has no checkpoint in {job.folder}: train it with head_to_head.")
    cfg = read_config(job.config, parse_options(job))
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    keep = KeepSamples()
    run_test(cfg, pointer.read_text(encoding="utf-8").strip(), job.folder / "test", keep)
    return grade(keep.samples)


def pck(grades: np.ndarray, threshold: int, weights: np.ndarray) -> np.ndarray:
    """PCK as MMPose computes it: the mean over keypoints of the fraction of right ones.

    Args:
        grades: (S, N, K) digits of :func:`grade`, for S seeds and N persons.
        threshold: Index of the threshold.
        weights: (D, N), how often each of D draws contains each person.

    Returns:
        (D,), the mean over the seeds.
    """
    labelled = weights @ (grades[0] > 0)  # (D, K)
    right = weights @ (grades > 1 + threshold).mean(0)
    return np.where(labelled > 0, right / np.maximum(labelled, 1), 0).sum(-1) / (labelled > 0).sum(-1)


def compare(grades: dict[str, np.ndarray], reference: str, draws: int) -> list[list[str]]:
    """Compare each model with the reference.

    Args:
        grades: For each model (S, N, K).
        reference: The name of one of them.
        draws: Number of bootstrap draws.

    Returns:
        Rows of a table.
    """
    persons = grades[reference].shape[1]
    weights = np.random.default_rng(0).multinomial(persons, np.full(persons, 1 / persons), size=draws)
    everyone = np.ones((1, persons))
    header = ["model", "seeds"]
    for threshold in THRESHOLDS:
        header += [f"PCK@{threshold}", f"minus {reference}", "95 % interval"]
    rows = [header]
    for name, values in grades.items():
        row = [name, str(len(values))]
        for index in range(len(THRESHOLDS)):
            row.append(f"{pck(values, index, everyone)[0]:.3f}")
            if name == reference:
                row += ["", ""]
                continue
            difference = pck(values, index, everyone) - pck(grades[reference], index, everyone)
            drawn = pck(values, index, weights) - pck(grades[reference], index, weights)
            low, high = np.percentile(drawn, [2.5, 97.5])
            row += [f"{difference[0]:+.3f}", f"{low:+.3f} to {high:+.3f}"]
        rows.append(row)
    return rows


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("plan", type=Path, help="yaml file of head_to_head")
    parser.add_argument("--reference", help="name of the run with which others are compared (default: the first)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/head_to_head"), help="folder of the trainings")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the table and the grades")
    parser.add_argument("--draws", type=positive, default=10000, help="bootstrap draws (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Test what is not stored, compare and write the results."""
    args = parse_args()
    _, runs = read_plan(args.plan, args.out)
    path = args.results / "grades" / f"{args.plan.stem}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    names = list(dict.fromkeys(job.name for job in runs))
    reference = args.reference or names[0]
    if reference not in names:
        raise UserError(f"{args.plan} has no run {reference}: choose one of {', '.join(names)}.")
    seeds: dict[str, list[list[str]]] = {}
    for job in runs:
        hashed = config_hash(job)
        if hashed not in stored:
            check_unchanged(job, hashed)
            stored[hashed] = grade_run(job)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(stored, indent=0) + "\n", encoding="utf-8")
        seeds.setdefault(job.name, []).append(stored[hashed])
    grades = {name: np.array([[list(map(int, person)) for person in seed] for seed in seeds[name]]) for name in names}
    table = "\n".join(markdown_table(compare(grades, reference, args.draws)))
    (args.results / f"{args.plan.stem}_bootstrap.md").write_text(table + "\n", encoding="utf-8")
    print(table)


if __name__ == "__main__":
    run(main)

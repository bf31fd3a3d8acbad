"""Predict MPII's test set and write the submission file for MPII's evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmpose.datasets.datasets.body import MpiiDataset
from mmpose.registry import DATASETS

from ..config_files import read_config
from ..engine.running import KeepSamples, run_test
from ..errors import UserError, need_file
from .mpii_submission import NUM_JOINTS, MpiiPerson, read_release, single_people, write_submission


class MpiiSubmission(NamedTuple):
    """What :func:`submit_mpii` wrote.

    Attributes:
        path: The file.
        persons: Number of persons in it.
    """

    path: Path
    persons: int

    def __str__(self) -> str:
        """What to do with it."""
        return f"{self.persons} persons are written to {self.path}: send it as MPII's evaluation page says."


def submit_mpii(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    release: str | Path,
    out: str | Path = "work_dirs/mpii_submission",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> MpiiSubmission:
    """Predict MPII's test set, and write the file that MPII's evaluation takes.

    The test annotations of MPII are not public: MPII's authors compute PCKh (Table 7 of the paper) from this file,
    pred_keypoints_mpii.mat. The single persons of the test images are predicted.

    Args:
        config: Config for MPII, as tfpose_r50_mpii_256x256.
        checkpoint: Checkpoint file.
        release: mpii_human_pose_v1_u12_1.mat of MPII's annotations.
        out: Folder for the file, the log and mpii_test.json, the persons in MPII's json format.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The file, and the number of persons in it.

    Raises:
        UserError: If the file exists already; otherwise see :func:`predict_people` and ``read_release``.
    """
    cfg, out = read_config(config, cfg_options), Path(out)
    path = out / "pred_keypoints_mpii.mat"
    if path.exists():
        raise UserError(f"{path} exists already: delete it or choose another folder; nothing was changed.")
    content = read_release(release)
    people = single_people(content)
    write_submission(content, people, predict_people(cfg, checkpoint, people, out), path)
    return MpiiSubmission(path, len(people))


def predict_people(cfg: Config, checkpoint: str | Path, people: list[MpiiPerson], work_dir: Path) -> np.ndarray:
    """Predict the given persons of the release.

    Args:
        cfg: A config whose test data are a ``MpiiDataset``; its annotation file is replaced.
        checkpoint: The weights.
        people: The persons to predict.
        work_dir: Folder for MMEngine's log and ``mpii_test.json``, the persons in MPII's json format.

    Returns:
        (P, 16, 2), (x, y) in pixels of the image; the first pixel is 0.

    Raises:
        UserError: If checkpoint or images are missing; if the config is not one for MPII; if the checkpoint does not
            fit the model; if there are no persons to predict, or if MMPose skips a person.
    """
    data = cfg.test_dataloader.dataset
    kind = DATASETS.get(data.type) if isinstance(data.type, str) else data.type
    if not (isinstance(kind, type) and issubclass(kind, MpiiDataset)) or cfg.model.head.num_joints != NUM_JOINTS:
        raise UserError(
            f"The config predicts {cfg.model.head.num_joints} joints of a {data.type}: choose one that predicts the 16 "
            "joints of MpiiDataset, as configs/tfpose_r50_mpii_256x256.py does."
        )
    if not people:
        raise UserError("The release file lists no single person in a test image: use the complete file.")
    images = Path(data.get("data_root") or "", data.data_prefix.img)
    need_file("image", images / people[0].image, "set MPII_ROOT to the folder that has all of MPII's images in images/")
    # MMPose skips persons without joints; these placeholders are not used
    listed = [
        dict(
            image=p.image,
            center=p.center,
            scale=p.scale,
            joints=[p.center] * NUM_JOINTS,
            joints_vis=[0] * NUM_JOINTS,
        )
        for p in people
    ]
    work_dir.mkdir(parents=True, exist_ok=True)
    annotations = work_dir / "mpii_test.json"  # kept, because faults are reported by their row in it
    annotations.write_text(json.dumps(listed), encoding="utf-8")
    data.update(ann_file=str(annotations.absolute()), headbox_file=None)
    cfg.test_evaluator = []
    keep = KeepSamples()
    run_test(cfg, checkpoint, work_dir, keep)
    keypoints = np.full((len(people), NUM_JOINTS, 2), np.nan)
    for sample in keep.samples:
        keypoints[sample.id] = sample.pred_instances.keypoints[0]
    missing = [person.image for person, points in zip(people, keypoints) if np.isnan(points).any()]
    if missing:
        raise UserError(
            f"MMPose skipped {len(missing)} of {len(people)} persons, the first in {missing[0]}: check their position "
            "and scale in the release file."
        )
    return keypoints

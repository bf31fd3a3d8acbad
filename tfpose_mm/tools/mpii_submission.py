"""Predict MPII's test set and write pred_keypoints_mpii.mat, which MPII's evaluation takes.

MPII keeps its test annotations: PCKh there (Table 7 of the paper) comes from its authors, to whom the file is sent.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from mmengine.config import Config

from tfpose_mm.evaluation import NUM_JOINTS, MpiiPerson, read_release, single_people, write_submission

from .cli import make_parser, run
from .runs import KeepSamples, add_cfg_options, need_file, read_config, run_test


def predict(cfg: Config, checkpoint: str, people: list[MpiiPerson], work_dir: Path) -> np.ndarray:
    """Predict people of the release with a config for MPII.

    Args:
        cfg: A config whose test data are a ``MpiiDataset``; its annotation file is replaced.
        checkpoint: The weights.
        people: Whom to predict.
        work_dir: Folder for MMEngine's log.

    Returns:
        (P, 16, 2), (x, y) in pixels of the image, from 0.

    Raises:
        FileNotFoundError: If checkpoint or images are missing.
        ValueError: If the config is not one for MPII, the checkpoint is another model's, there is nobody to predict, or
            MMPose passes over somebody.
    """
    data = cfg.test_dataloader.dataset
    if data.type != "MpiiDataset" or cfg.model.head.num_joints != NUM_JOINTS:
        raise ValueError(
            f"The config predicts {cfg.model.head.num_joints} joints of a {data.type}: choose one that predicts the 16 "
            "joints of MpiiDataset, as configs/tfpose_r50_mpii_256x256.py does."
        )
    if not people:
        raise ValueError("The release file names no single person in a test image: is it the whole release?")
    images = Path(data.get("data_root") or "", data.data_prefix.img)
    need_file("image", images / people[0].image, "point MPII_ROOT to the folder that holds images/, with all of MPII's")
    with tempfile.TemporaryDirectory() as folder:
        listed = [
            # joints that nobody reads: MMPose passes over people without any
            dict(
                image=p.image,
                center=p.center,
                scale=p.scale,
                joints=[p.center] * NUM_JOINTS,
                joints_vis=[0] * NUM_JOINTS,
            )
            for p in people
        ]
        annotations = Path(folder) / "mpii_test.json"
        annotations.write_text(json.dumps(listed), encoding="utf-8")
        data.update(ann_file=str(annotations), headbox_file=None)
        cfg.test_evaluator = []
        keep = KeepSamples()
        run_test(cfg, checkpoint, work_dir, keep)
    keypoints = np.full((len(people), NUM_JOINTS, 2), np.nan)
    for sample in keep.samples:
        keypoints[sample.id] = sample.pred_instances.keypoints[0]
    missing = [person.image for person, points in zip(people, keypoints) if np.isnan(points).any()]
    if missing:
        raise ValueError(
            f"MMPose passed over {len(missing)} of {len(people)} people, the first in {missing[0]}: their position or "
            "scale in the release file cannot be used."
        )
    return keypoints


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("config", help="config for MPII, as configs/tfpose_r50_mpii_256x256.py")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--release", required=True, help="mpii_human_pose_v1_u12_1.mat of MPII's annotations")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/mpii_submission"), help="folder for file and log")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    """Predict and write."""
    args = parse_args()
    path = args.out / "pred_keypoints_mpii.mat"
    if path.exists():
        raise FileExistsError(f"{path} exists already: delete it or choose another folder; nothing was changed.")
    cfg = read_config(args.config, args.cfg_options)
    release = read_release(args.release)
    people = single_people(release)
    write_submission(release, people, predict(cfg, args.checkpoint, people, args.out), path)
    print(f"{len(people)} people are written to {path}: send it as MPII's evaluation page says.")


if __name__ == "__main__":
    run(main)

"""Detection rates of check_data: put faults into a part of the rows, and count the rows that are found.

The data are synthetic instances, drawn here, and Leeds Sports Pose Extended if its folder is given. Each
cell is the fraction of the changed rows that are reported by a check which can find this fault; "file" means that a
finding of the whole file reports it. The last column is the fraction of rows that these checks report without a fault.
No images are read.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from benchmarks.command_line import make_parser, run
from tfpose_mm.config_files import CONFIGS
from tfpose_mm.datasets.checks.instances import Keypoints, read_keypoints
from tfpose_mm.datasets.checks.labels import check_labels
from tfpose_mm.datasets.synthetic.dataset import write_dataset
from tfpose_mm.tables import markdown_table

FRACTIONS = (0.01, 0.05, 0.2, 1.0)
NUM_INSTANCES = 2000
SEED = 5

# changes the keypoints (K, 3) and the box (4,) of one row in place
Change = Callable[[np.ndarray, np.ndarray, np.ndarray, Keypoints, np.random.Generator], None]


def exchange(*names: str) -> Change:
    """Exchange left and right of pairs, given by their names without the side; without names, of all pairs."""

    def change(points: np.ndarray, _box: object, _size: object, keypoints: Keypoints, _rng: object) -> None:
        for first, second in keypoints.pairs:
            if not names or keypoints.names[first].rpartition("_")[2] in names:
                points[[first, second]] = points[[second, first]]

    return change


def exchange_columns(*pairs: tuple[str, str]) -> Change:
    """Exchange keypoints, given by their names."""

    def change(points: np.ndarray, _box: object, _size: object, keypoints: Keypoints, _rng: object) -> None:
        for pair in pairs:
            first, second = (keypoints.names.index(name) for name in pair)
            points[[first, second]] = points[[second, first]]

    return change


def misplace(points: np.ndarray, box: np.ndarray, size: np.ndarray, _: object, rng: np.random.Generator) -> None:
    """Put one labelled keypoint anywhere into the image."""
    index = rng.choice(np.flatnonzero(points[:, 2] > 0))
    points[index, :2] = rng.uniform(0, 1, 2) * size


def scale(corner: float = 0, factor: float = 1, divide: str = "") -> Change:
    """Give the keypoints another unit: of the crop, multiplied by a factor, or 0 to 1 of the image or the box."""

    def change(points: np.ndarray, box: np.ndarray, size: np.ndarray, _: object, __: object) -> None:
        xy = points[:, :2] - corner * box[:2]
        if divide == "image":
            xy = xy / size
        elif divide == "box":
            xy = (xy - box[:2]) / box[2:]
        points[:, :2] = np.where(points[:, 2:] > 0, xy * factor, points[:, :2])

    return change


def reorder(order: list[int]) -> Change:
    """Reorder the numbers x, y, v of each keypoint."""

    def change(points: np.ndarray, *_: object) -> None:
        points[:] = points[:, order]

    return change


def box_centre(_points: np.ndarray, box: np.ndarray, *_: object) -> None:
    """Write boxes with their centre in place of their corner."""
    box[:2] += box[2:] / 2


def box_corners(_points: np.ndarray, box: np.ndarray, *_: object) -> None:
    """Write boxes with both corners."""
    box[2:] += box[:2]


class Fault(NamedTuple):
    """A fault to inject.

    Attributes:
        name: Its description.
        change: Changes one row.
        checks: The checks that can find it.
    """

    name: str
    change: Change
    checks: tuple[str, ...]


SIDES = ("left_right_exchanged", "left_right_often_opposite", "flip_pair_exchanged")
FACES = ("face_mirrored", "faces_mirrored")
ORDER = ("keypoint_order", "flip_pair_distances")
ARMS = (("left_wrist", "left_ankle"), ("right_wrist", "right_ankle"))
FAULTS = (
    *(Fault(f"left and right {name} exchanged", exchange(name), SIDES) for name in ("shoulder", "elbow", "wrist")),
    *(Fault(f"left and right {name} exchanged", exchange(name), SIDES) for name in ("hip", "knee", "ankle")),
    Fault("left and right of both arms exchanged", exchange("shoulder", "elbow", "wrist"), SIDES),
    Fault("left and right eye exchanged", exchange("eye"), (*SIDES, *FACES)),
    Fault("all pairs exchanged (mirrored labels)", exchange(), (*SIDES, *FACES)),
    Fault("left wrist and left ankle exchanged", exchange_columns(ARMS[0]), (*ORDER, "limb_too_long")),
    Fault("wrists and ankles exchanged", exchange_columns(*ARMS), (*ORDER, "limb_too_long")),
    Fault("left hip and left knee exchanged", exchange_columns(("left_hip", "left_knee")), ORDER),
    Fault("one keypoint anywhere in the image", misplace, ("limb_too_long",)),
    Fault("keypoints 0 to 1 of the image", scale(divide="image"), ("label_scale",)),
    Fault("keypoints 0 to 1 of the box", scale(divide="box"), ("label_scale",)),
    Fault("keypoints of the crop, in pixels", scale(corner=1), ("label_scale",)),
    Fault("keypoints of an image of half the size", scale(factor=0.5), ("label_scale",)),
    Fault("keypoints as y, x, v", reorder([1, 0, 2]), ("label_scale",)),
    Fault("keypoints as x, v, y", reorder([0, 2, 1]), ("keypoint_columns",)),
    Fault("boxes with their centre", box_centre, ("bbox_format",)),
    Fault("boxes as x1, y1, x2, y2", box_corners, ("bbox_format",)),
)


def inject(content: dict, fault: Fault, fraction: float, keypoints: Keypoints, seed: int) -> tuple[dict, set[int]]:
    """Put a fault into a part of the rows.

    Args:
        content: Content of an annotation file; it is not changed.
        fault: The fault.
        fraction: Fraction of the rows.
        keypoints: The metainfo.
        seed: Random seed.

    Returns:
        The changed content, and the changed rows.
    """
    content = dict(content, annotations=copy.deepcopy(content["annotations"]))
    sizes = {image["id"]: np.array([image["width"], image["height"]]) for image in content["images"]}
    rng, rows = np.random.default_rng(seed), content["annotations"]
    chosen = rng.choice(len(rows), max(1, round(fraction * len(rows))), replace=False)
    for index in chosen:
        row = rows[index]
        points, box = np.array(row["keypoints"], float).reshape(-1, 3), np.array(row["bbox"], float)
        fault.change(points, box, sizes[row["image_id"]], keypoints, rng)
        row["keypoints"], row["bbox"] = points.ravel().tolist(), box.tolist()
    return content, set(chosen.tolist())


def reported(content: dict, fault: Fault, keypoints: Keypoints) -> tuple[bool, set[int]]:
    """Whether a check of a fault reports the file, and the rows that it reports."""
    findings = [finding for finding in check_labels(content, keypoints, "")[0] if finding.check in fault.checks]
    rows = {finding.row for finding in findings}
    return None in rows, rows - {None}


def detection(content: dict, fault: Fault, fraction: float, keypoints: Keypoints) -> str:
    """The fraction of the changed rows that are found; "file" if the file is reported; both if both are."""
    changed, rows = inject(content, fault, fraction, keypoints, SEED)
    whole, found = reported(changed, fault, keypoints)
    share = len(rows & found) / len(rows)
    return " ".join(["file"] * whole + [f"{share:.2f}"] * (not whole or share > 0))


def measure(content: dict, keypoints: Keypoints) -> list[str]:
    """Measure all faults in a data set.

    Args:
        content: Content of its annotation file.
        keypoints: The metainfo.

    Returns:
        Lines of a Markdown table.
    """
    table = [["fault in a part of the rows", *(f"{fraction:.0%}" for fraction in FRACTIONS), "no fault"]]
    for fault in FAULTS:
        if "eye" in fault.name and "left_eye" not in keypoints.names:
            continue
        whole, alarms = reported(content, fault, keypoints)
        clean = "file" if whole else f"{len(alarms) / len(content['annotations']):.4f}"
        cells = [detection(content, fault, fraction, keypoints) for fraction in FRACTIONS]
        table.append([fault.name, *cells, clean])
    return markdown_table(table)


def load_sets(lspet: Path | None) -> dict[str, tuple[dict, Keypoints]]:
    """Draw the synthetic data and read the other.

    Args:
        lspet: Folder of Leeds Sports Pose Extended, or ``None``.

    Returns:
        Content and metainfo by the name of the data set.
    """
    coco = read_keypoints(parse_pose_metainfo(dict(from_file="configs/_base_/datasets/coco.py")))
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(f"{folder}/people", train=NUM_INSTANCES, val=0, seed=SEED)
        path = Path(folder, "people/annotations/person_keypoints_train.json")
        sets = {"synthetic": (json.loads(path.read_text(encoding="utf-8")), coco)}
    if lspet is not None:
        metainfo = Config.fromfile(str(CONFIGS / "_base_/lspet_keypoints.py")).metainfo.to_dict()
        content = json.loads((lspet / "annotations/lspet_train.json").read_text(encoding="utf-8"))
        sets["lspet"] = content, read_keypoints(parse_pose_metainfo(metainfo))
    return sets


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("--lspet", type=Path, help="folder of Leeds Sports Pose Extended")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    for name, (content, keypoints) in load_sets(parse_args().lspet).items():
        print("\n".join([f"\n{name}: {len(content['annotations']):,} instances\n", *measure(content, keypoints)]))


if __name__ == "__main__":
    run(main)

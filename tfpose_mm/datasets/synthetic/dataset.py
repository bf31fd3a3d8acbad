"""Write synthetic images to disk as a COCO keypoint data set."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from mmengine.utils import track_progress_rich

from ...errors import UserError
from .levels import LEVELS
from .scene import Annotation, draw_scene
from .skeleton import COCO_KEYPOINTS

JPEG_QUALITY = 92
# skeleton links of COCO; the first keypoint has number 1
SKELETON = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10], [9, 11],
    [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # fmt: skip


def write_dataset(
    out: str | Path, num_train: int, num_val: int, seed: int = 0, level: str = "easy", workers: int | None = None
) -> None:
    """Draw synthetic images and write them as a data set that ``CocoDataset`` and ``CocoMetric`` can read.

    The same arguments give the same files, for any number of workers. The folder is created only when all its files
    are complete::

        out/annotations/person_keypoints_{train,val}.json
        out/{train,val}/000000000001.jpg ...

    Args:
        out: The folder to create.
        num_train: Number of training instances; 0 writes no training split.
        num_val: Number of validation instances, drawn from other seeds; 0 writes no validation split.
        seed: Random seed, 0 or more.
        level: ``"easy"``, with one instance per image; or ``"hard"``, with up to three.
        workers: Number of processes that draw. Defaults to the number of processors.

    Raises:
        UserError: If ``out`` exists.
        UserError: If the level is unknown, if a number is negative, or if there are no instances to draw.
    """
    out = Path(out)
    if level not in LEVELS:
        raise UserError(f"There is no level '{level}': choose one of {', '.join(LEVELS)}.")
    if min(num_train, num_val, seed) < 0 or num_train + num_val == 0:
        raise UserError(
            "The numbers of instances and the seed must be 0 or more, with at least one instance in total, but got "
            f"{num_train} training instances, {num_val} validation instances and seed {seed}."
        )
    if out.exists():
        raise UserError(f"{out} exists already: delete it or choose another folder; nothing was written.")

    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for number, (split, people) in enumerate((("train", num_train), ("val", num_val))):
            if people:
                _write_split(partial, split, people, [seed, number], level, workers)
        partial.chmod(0o755)  # only its owner can read a temporary folder
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_split(folder: Path, split: str, people: int, seed: list[int], level: str, workers: int | None) -> None:
    images = folder / split
    images.mkdir(parents=True)
    # The number of people in an image depends on the seed of the image: count them first, then draw in parallel.
    counts: list[int] = []
    fewest, most = LEVELS[level].people
    left = people
    while left:
        rng = np.random.default_rng([*seed, len(counts)])
        counts.append(min(int(rng.integers(fewest, most + 1)), left))
        left -= counts[-1]
    jobs = [(str(images), [*seed, index], level, count) for index, count in enumerate(counts)]
    print(f"Drawing {len(jobs)} {level} images with {people} instances for {split}", flush=True)
    records = _in_parallel(jobs, workers, split)

    annotations = [record for _, records_of_image in records for record in records_of_image]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    content = dict(
        info=dict(description=f"Synthetic people, level {level}, seed {seed[0]}, {split}", version="1.0"),
        licenses=[],
        categories=[dict(id=1, name="person", supercategory="person", keypoints=COCO_KEYPOINTS, skeleton=SKELETON)],
        images=[image for image, _ in records],
        annotations=annotations,
    )
    path = folder / "annotations" / f"person_keypoints_{split}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _in_parallel(jobs: list[tuple], workers: int | None, description: str) -> list[tuple[dict, list[dict]]]:
    workers = min(workers or multiprocessing.cpu_count(), len(jobs))
    chunk = max(1, min(16, len(jobs) // workers))
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process has none of OpenCV's threads and would wait for them forever
    try:
        return track_progress_rich(_draw_image, jobs, nproc=workers, chunksize=chunk, description=description)
    finally:
        cv2.setNumThreads(threads)


def _draw_image(folder: str, seed: list[int], level: str, count: int) -> tuple[dict, list[dict]]:
    """Draw and save one image; return its record and the records of its people."""
    image, people = draw_scene(np.random.default_rng([*seed, count]), LEVELS[level], count)
    image_id = seed[-1] + 1
    name = f"{image_id:012d}.jpg"
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode {name}.")
    (Path(folder) / name).write_bytes(encoded.tobytes())
    height, width = image.shape[:2]
    record = dict(id=image_id, file_name=name, width=width, height=height)
    return record, [_coco_annotation(person, image_id) for person in people]


def _coco_annotation(person: Annotation, image_id: int) -> dict:
    columns, rows = np.flatnonzero(person.mask.any(0)), np.flatnonzero(person.mask.any(1))
    left, top = int(columns[0]), int(rows[0])
    contours, _ = cv2.findContours(person.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    keypoints = [[round(float(x), 2), round(float(y), 2), int(v)] for x, y, v in person.keypoints]
    return dict(
        id=0,
        image_id=image_id,
        category_id=1,
        iscrowd=0,
        bbox=[left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        area=int(person.mask.sum()),
        num_keypoints=sum(v > 0 for _, _, v in keypoints),
        keypoints=[number for keypoint in keypoints for number in keypoint],
        segmentation=[contour.flatten().tolist() for contour in contours if len(contour) > 2],
    )

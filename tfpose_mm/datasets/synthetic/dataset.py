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

from ...errors import UserError, need_at_least, need_new
from .scene import draw_scene
from .skeleton import COCO_KEYPOINTS

JPEG_QUALITY = 92
# skeleton links of COCO; the first keypoint has number 1
SKELETON = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10], [9, 11],
    [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # fmt: skip


def write_dataset(
    out: str | Path, *, train: int = 2000, val: int = 300, seed: int = 0, workers: int | None = None
) -> str:
    """Draw synthetic images of persons as a COCO data set, for a first training.

    The same arguments give the same files, for any number of workers. The folder is created only when all its files are
    complete: annotations/person_keypoints_train.json and _val.json, and the images in train/ and val/.

    Args:
        out: The folder to create; it must not exist.
        train: Number of training images, each with one person; 0 writes no training split.
        val: Number of validation images, drawn from other seeds; 0 writes no validation split.
        seed: Random seed, 0 or more; the same seed draws the same images.
        workers: Processes that draw. Defaults to the number of processors.

    Returns:
        What was written.

    Raises:
        UserError: If the folder exists, if a number is negative, or if there are no images to draw.
    """
    out = Path(out)
    need_at_least(1, workers=workers)
    need_at_least(0, train=train, val=val, seed=seed)
    if train + val == 0:
        raise UserError("There must be at least one image, but train and val are 0: choose numbers of images.")
    need_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for number, (split, images) in enumerate((("train", train), ("val", val))):
            if images:
                _write_split(partial, split, images, [seed, number], workers)
        partial.chmod(0o755)  # only its owner can read a temporary folder
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return f"{train} training images and {val} validation images are in {out}."


def _write_split(folder: Path, split: str, number: int, seed: list[int], workers: int | None) -> None:
    (folder / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    jobs = [(folder / split, [*seed, index]) for index in range(number)]
    workers = min(workers or multiprocessing.cpu_count(), number)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process has none of OpenCV's threads and would wait for them forever
    try:
        records = track_progress_rich(_draw_image, jobs, nproc=workers, description=split)
    finally:
        cv2.setNumThreads(threads)
    content = dict(
        info=dict(description=f"Synthetic people, seed {seed[0]}, {split}", version="1.0"),
        licenses=[],
        categories=[dict(id=1, name="person", supercategory="person", keypoints=COCO_KEYPOINTS, skeleton=SKELETON)],
        images=[image for image, _ in records],
        annotations=[annotation for _, annotation in records],
    )
    (folder / f"annotations/person_keypoints_{split}.json").write_text(json.dumps(content), encoding="utf-8")


def _draw_image(folder: Path, seed: list[int]) -> tuple[dict, dict]:
    """Draw and save an image; return its record and the record of its person."""
    image, keypoints, mask = draw_scene(np.random.default_rng([*seed, 1]))
    number = seed[-1] + 1
    name = f"{number:012d}.jpg"
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    (folder / name).write_bytes(encoded.tobytes())
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    annotation = dict(
        id=number,
        image_id=number,
        category_id=1,
        iscrowd=0,
        bbox=[left, top, width, height],
        area=int(mask.sum()),
        num_keypoints=int((keypoints[:, 2] > 0).sum()),
        keypoints=[value for x, y, v in keypoints.tolist() for value in (round(x, 2), round(y, 2), int(v))],
        segmentation=[contour.flatten().tolist() for contour in contours if len(contour) > 2],
    )
    return dict(id=number, file_name=name, width=image.shape[1], height=image.shape[0]), annotation

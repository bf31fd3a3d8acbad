from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmpose.registry import DATASETS

from tfpose_mm.datasets.synthetic import dataset, write_dataset
from tfpose_mm.datasets.synthetic.canvas import Canvas
from tfpose_mm.datasets.synthetic.skeleton import COCO_KEYPOINTS
from tfpose_mm.errors import UserError

# of the first 40 images of validation with seed 1: means, and numbers of each keypoint
PIXELS = 112.35
BOX = [60.6, 19.08, 95.25, 167.22]
POINTS = [
    77.98, 27.56, 81.05, 24.75, 74.91, 24.78, 84.25, 26.3, 84.0, 30.1, 116.91, 52.67, 99.78, 52.93, 124.73, 73.39,
    91.12, 72.43, 130.22, 90.85, 85.74, 89.54, 112.56, 100.83, 103.34, 100.93, 115.29, 137.3, 99.14, 137.75, 117.94,
    172.76, 95.2, 174.01,
]  # fmt: skip
UNLABELLED = [10, 10, 10, 10, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
HIDDEN = [1, 2, 1, 3, 0, 1, 1, 5, 3, 4, 2, 2, 0, 0, 0, 2, 0]


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes(people, tmp_path):
    """For any number of workers and images; other seeds and splits give other images."""
    expected = digest(people)
    write_dataset(tmp_path / "again", train=9, val=5, seed=3, workers=1)
    assert digest(tmp_path / "again") == expected
    write_dataset(tmp_path / "few", train=2, val=0, seed=3, workers=1)
    few = {path: value for path, value in digest(tmp_path / "few").items() if path.endswith("jpg")}
    assert few == {name: expected[name] for name in ("train/000000000001.jpg", "train/000000000002.jpg")}
    write_dataset(tmp_path / "other", train=9, val=5, seed=4, workers=1)
    assert len({*expected.values(), *digest(tmp_path / "other").values()}) == 2 * len(expected)


def test_images_and_annotations_do_not_change(tmp_path):
    """The results of the demo are those of these images, up to rounding of OpenCV's versions."""
    write_dataset(tmp_path / "people", train=0, val=40, seed=1, workers=2)
    content = json.loads((tmp_path / "people/annotations/person_keypoints_val.json").read_text())
    images = [cv2.imread(str(tmp_path / "people/val" / image["file_name"])) for image in content["images"]]
    keypoints = np.array([row["keypoints"] for row in content["annotations"]]).reshape(40, 17, 3)
    assert np.mean([image.mean() for image in images]) == pytest.approx(PIXELS, abs=0.1)
    assert np.mean([row["bbox"] for row in content["annotations"]], axis=0) == pytest.approx(BOX, abs=0.1)
    assert keypoints[..., :2].mean(0).ravel() == pytest.approx(POINTS, abs=0.01)
    assert [(keypoints[..., 2] == v).sum(0).tolist() for v in (0, 1)] == [UNLABELLED, HIDDEN]
    for image, info, row, points in zip(images, content["images"], content["annotations"], keypoints):
        assert image.shape[:2] == (info["height"], info["width"])
        assert row["image_id"] == info["id"]
        x, y, w, h = row["bbox"]
        assert 0 <= x < x + w <= info["width"]
        assert 0 <= y < y + h <= info["height"]
        assert 0 < row["area"] <= w * h
        assert row["num_keypoints"] == (points[:, 2] > 0).sum() >= 6
        seen = points[points[:, 2] == 2, :2]  # visible keypoints are on the person, so in its box
        assert ((seen >= [x - 1, y - 1]) & (seen <= [x + w, y + h])).all()


def test_mmpose_reads_it(people):
    file = str(people / "annotations/person_keypoints_val.json")
    read = DATASETS.build(dict(type="CocoDataset", ann_file=file, data_prefix=dict(img="val/"), test_mode=True))
    assert len(read) == 5
    assert tuple(read.metainfo["keypoint_id2name"][index] for index in range(17)) == COCO_KEYPOINTS
    assert sorted(read.metainfo["skeleton_links"]) == sorted((a - 1, b - 1) for a, b in dataset.SKELETON)


def test_what_is_refused_and_an_interrupted_run_leave_nothing_behind(people, tmp_path, monkeypatch):
    before = digest(people)
    with pytest.raises(UserError, match="exists already: delete it or choose another"):
        write_dataset(people, train=1, val=1)
    assert digest(people) == before
    for wrong in (dict(train=-1), dict(train=0, val=0), dict(seed=-5), dict(workers=0)):
        with pytest.raises(UserError):
            write_dataset(tmp_path / "people", **{**dict(train=1, val=1), **wrong})

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_draw_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "people", train=3, val=1, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_drawing_after_opencv_has_started_its_threads(tmp_path):
    """The processes that draw are forked. A forked OpenCV waits forever for threads that were not forked."""
    program = (
        "import cv2, numpy\n"
        "cv2.setNumThreads(4)\n"
        "cv2.GaussianBlur(numpy.zeros((2000, 2000, 3), numpy.uint8), (0, 0), 9)\n"
        "from tfpose_mm.datasets.synthetic import write_dataset\n"
        f"write_dataset({str(tmp_path / 'people')!r}, train=4, val=0, workers=2)\n"
        "assert cv2.getNumThreads() == 4\n"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=40)
    assert process.returncode == 0, process.stderr
    assert len(list((tmp_path / "people/train").iterdir())) == 4


def test_parts_are_drawn_at_subpixel_positions():
    for x in (60.0, 60.25, 60.5):
        canvas = Canvas(np.zeros((100, 120, 3), dtype=np.uint8))
        canvas.hull([(x, 50.0)], 12, (200, 200, 200), outline=False)
        mass = canvas.image[..., 0].astype(float)
        assert (mass.sum(0) * np.arange(120)).sum() / mass.sum() == pytest.approx(x, abs=0.1)

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmpose.registry import DATASETS
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from tfpose_mm.datasets.synthetic import write_dataset
from tfpose_mm.datasets.synthetic.dataset import SKELETON
from tfpose_mm.datasets.synthetic.skeleton import COCO_KEYPOINTS
from tfpose_mm.errors import UserError


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes(people, tmp_path):
    write_dataset(tmp_path / "again", train=9, val=5, seed=3, workers=1)
    assert digest(tmp_path / "again") == digest(people)
    write_dataset(tmp_path / "other", train=9, val=5, seed=4, workers=1)
    assert not set(digest(tmp_path / "other").values()) & set(digest(people).values())


def test_the_images_do_not_change(people):
    """The results of the demo are those of these images."""
    pixels = cv2.imread(str(people / "val/000000000002.jpg"))
    assert pixels.shape == (220, 276, 3)
    assert pixels.mean() == pytest.approx(100.75, abs=0.1)  # OpenCV versions round differently


def test_fewer_people_are_the_first_of_more(people, tmp_path):
    write_dataset(tmp_path / "few", train=2, val=0, seed=3, workers=1)
    assert (tmp_path / "few/train/000000000002.jpg").read_bytes() == (people / "train/000000000002.jpg").read_bytes()
    assert not (tmp_path / "few/val").exists()


def test_train_and_val_are_different_people(people):
    names = ("000000000001.jpg", "000000000002.jpg")
    assert {(people / "train" / n).read_bytes() for n in names}.isdisjoint(
        (people / "val" / n).read_bytes() for n in names
    )


def test_annotations_are_consistent(tmp_path):
    write_dataset(tmp_path / "people", train=0, val=40, seed=1, workers=2)
    content = json.loads((tmp_path / "people/annotations/person_keypoints_val.json").read_text())
    images = {image["id"]: image for image in content["images"]}
    assert len(content["annotations"]) == 40
    assert len(images) == 40
    visibilities = set()
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        assert cv2.imread(str(tmp_path / "people/val" / image["file_name"])).shape[:2] == (
            image["height"],
            image["width"],
        )
        x, y, w, h = annotation["bbox"]
        assert 0 <= x < x + w <= image["width"]
        assert 0 <= y < y + h <= image["height"]
        assert 0 < annotation["area"] <= w * h
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        visibilities |= set(keypoints[:, 2])
        assert annotation["num_keypoints"] == (keypoints[:, 2] > 0).sum() >= 6
        assert not keypoints[keypoints[:, 2] == 0].any()
        seen = keypoints[keypoints[:, 2] == 2]  # visible keypoints are on the person, so in its box
        assert (seen[:, 0] >= x - 1).all()
        assert (seen[:, 0] <= x + w).all()
        assert (seen[:, 1] >= y - 1).all()
        assert (seen[:, 1] <= y + h).all()
    assert visibilities == {0, 1, 2}


def test_mmpose_reads_it_and_the_truth_scores_one(people):
    dataset = DATASETS.build(
        dict(
            type="CocoDataset",
            data_root=str(people),
            ann_file="annotations/person_keypoints_val.json",
            data_prefix=dict(img="val/"),
            test_mode=True,
        )
    )
    assert len(dataset) == 5
    names = [dataset.metainfo["keypoint_id2name"][index] for index in range(17)]
    assert tuple(names) == COCO_KEYPOINTS
    links = [(a - 1, b - 1) for a, b in SKELETON]
    assert sorted(map(tuple, dataset.metainfo["skeleton_links"])) == sorted(links)

    coco = COCO(str(people / "annotations/person_keypoints_val.json"))
    results = [
        dict(image_id=a["image_id"], category_id=1, keypoints=a["keypoints"], score=1.0) for a in coco.anns.values()
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), "keypoints", np.array(dataset.metainfo["sigmas"]))
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_an_existing_folder_is_left_alone(people):
    before = digest(people)
    with pytest.raises(UserError, match="exists already: delete it or choose another"):
        write_dataset(people, train=1, val=1)
    assert digest(people) == before


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    from tfpose_mm.datasets.synthetic import dataset

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "_draw_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "people", train=3, val=1, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(train=-1), "got -1 training images"),
        (dict(train=0, val=0), "at least one image"),
        (dict(seed=-5), "seed -5"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "people", **dict(dict(train=1, val=1), **arguments))
    assert not (tmp_path / "people").exists()


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

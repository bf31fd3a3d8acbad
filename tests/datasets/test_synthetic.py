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
from tfpose_mm.datasets.synthetic.canvas import NOTHING, OBJECT, Canvas
from tfpose_mm.datasets.synthetic.person import Person, sample_outfit
from tfpose_mm.datasets.synthetic.skeleton import COCO_KEYPOINTS, sample_joints
from tfpose_mm.errors import UserError

NOSE, LEFT_EYE, LEFT_WRIST = (COCO_KEYPOINTS.index(name) for name in ("nose", "left_eye", "left_wrist"))


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_same_bytes(people, tmp_path):
    """For any number of workers and images; other seeds and splits give other images."""
    expected = digest(people)
    write_dataset(tmp_path / "again", train=9, val=5, seed=3, workers=1)
    assert digest(tmp_path / "again") == expected
    write_dataset(tmp_path / "few", train=2, val=0, seed=3, workers=1)
    assert {path: value for path, value in digest(tmp_path / "few").items() if path.endswith("jpg")} == {
        path: expected[path] for path in ("train/000000000001.jpg", "train/000000000002.jpg")
    }
    write_dataset(tmp_path / "other", train=9, val=5, seed=4, workers=1)
    assert len({*expected.values(), *digest(tmp_path / "other").values()}) == 2 * len(expected)


def test_the_images_do_not_change(people):
    """The results of the demo are those of these images."""
    pixels = cv2.imread(str(people / "val/000000000002.jpg"))
    assert pixels.shape == (220, 276, 3)
    assert pixels.mean() == pytest.approx(100.75, abs=0.1)  # OpenCV versions round differently


def test_annotations_are_consistent(tmp_path):
    write_dataset(tmp_path / "people", train=0, val=40, seed=1, workers=2)
    content = json.loads((tmp_path / "people/annotations/person_keypoints_val.json").read_text())
    assert len(content["annotations"]) == 40
    visibilities = set()
    for image, annotation in zip(content["images"], content["annotations"]):
        width, height = image["width"], image["height"]
        assert annotation["image_id"] == image["id"]
        assert cv2.imread(str(tmp_path / "people/val" / image["file_name"])).shape[:2] == (height, width)
        x, y, w, h = annotation["bbox"]
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
        assert 0 < annotation["area"] <= w * h
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        visibilities |= set(keypoints[:, 2])
        assert annotation["num_keypoints"] == (keypoints[:, 2] > 0).sum() >= 6
        assert not keypoints[keypoints[:, 2] == 0].any()
        seen = keypoints[keypoints[:, 2] == 2, :2]  # visible keypoints are on the person, so in its box
        assert ((seen >= [x - 1, y - 1]) & (seen <= [x + w, y + h])).all()
    assert visibilities == {0, 1, 2}


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


def test_hull_owns_what_it_covers():
    canvas = Canvas(np.full((240, 200, 3), 128, dtype=np.uint8))
    canvas.hull([(50, 60), (90, 60)], 10, (0, 0, 255), owner=7)
    assert canvas.owner[[60, 69, 72], [70, 50, 50]].tolist() == [7, 7, NOTHING]
    assert tuple(canvas.image[60, 70]) == (0, 0, 255)
    for x in (60.0, 60.25, 60.5):  # subpixel positions
        canvas = Canvas(np.zeros((100, 120, 3), dtype=np.uint8))
        canvas.hull([(x, 50.0)], 12, (200, 200, 200), outline=False)
        mass = canvas.image[..., 0].astype(float)
        assert (mass.sum(0) * np.arange(120)).sum() / mass.sum() == pytest.approx(x, abs=0.1)


def drawn(seed, facing_camera=True, pelvis=(100, 120)):
    """A drawn person who faces the camera, or not."""
    while True:
        joints = sample_joints(np.random.default_rng(seed))
        if (joints["gaze"][2] if facing_camera else -joints["gaze"][2]) > 0.9:
            break
        seed += 100
    canvas = Canvas(np.full((240, 200, 3), 128, dtype=np.uint8))
    person = Person(joints, sample_outfit(np.random.default_rng(seed)), 180.0, pelvis)
    person.draw(canvas)
    return person, canvas


def test_a_face_is_labelled_only_when_it_is_turned_to_the_camera():
    for facing_camera in (True, False):
        for seed in range(5):
            person, canvas = drawn(seed, facing_camera)
            assert ((person.visibility(canvas)[[NOSE, LEFT_EYE]] > 0) == facing_camera).all()


def test_what_stands_before_a_keypoint_hides_it():
    person, canvas = drawn(0)
    before, pixels = person.visibility(canvas), (canvas.owner > OBJECT).sum()
    assert before[LEFT_WRIST] == 2
    canvas.hull([person.keypoints[LEFT_WRIST]], 6, (0, 0, 0), OBJECT)
    after = person.visibility(canvas)
    assert after[LEFT_WRIST] == 1
    assert (after <= before).all()
    assert 0 < (canvas.owner > OBJECT).sum() < pixels


def test_outside_the_image_nothing_is_labelled():
    person, canvas = drawn(0, pelvis=(100, 5))
    above = person.keypoints[:, 1] < -1
    assert above.any()
    assert not person.visibility(canvas)[above].any()


def test_poses():
    """Bones keep their lengths; left is on the image's right in the front view only; knees bend backwards."""
    bones = {("hip", "knee"): 0.235, ("knee", "ankle"): 0.235, ("shoulder", "elbow"): 0.165, ("elbow", "wrist"): 0.145}
    fronts = []
    for seed in range(60):
        joints = sample_joints(np.random.default_rng(seed))
        assert set(COCO_KEYPOINTS) <= set(joints)
        front = joints["facing"][2] > 0
        fronts.append(front)
        assert (joints["left_hip"][0] > joints["right_hip"][0]) == front
        assert (joints["nose"][2] > joints["head"][2]) == (joints["gaze"][2] > 0) or abs(joints["gaze"][2]) < 0.3
        for side in ("left", "right"):
            for (start, end), length in bones.items():
                bone = joints[f"{side}_{start}"] - joints[f"{side}_{end}"]
                assert np.linalg.norm(bone) == pytest.approx(length)
            shin = joints[f"{side}_ankle"] - joints[f"{side}_knee"]
            thigh = joints[f"{side}_knee"] - joints[f"{side}_hip"]
            assert shin @ joints["facing"] <= thigh @ joints["facing"] + 0.03
    assert 0.2 < np.mean(fronts) < 0.9

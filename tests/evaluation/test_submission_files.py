"""Submission files of COCO and of MPII."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from mmpose.registry import METRICS
from scipy.io import savemat
from xtcocotools.coco import COCO

from tests.helpers.mpii import write_mpii, write_release
from tfpose_mm.evaluation.mpii_submission import read_release, single_people, write_submission

NAME = "person_keypoints_test-dev2017_our-method_results"
KEYS = ("category_id", "image_id", "keypoints", "score")


def predicted(image_id, person_id, box_score, offset):
    pose = dict(keypoints=np.arange(34).reshape(1, 17, 2) * 3.33333 + offset, keypoint_scores=np.full((1, 17), 0.5))
    pose["bboxes"] = np.array([[0.0, 0.0, 100.0, 200.0]])
    box = dict(bbox_scores=np.array([box_score]), bbox_scales=np.array([[125.0, 250.0]]))
    return dict(id=person_id, img_id=image_id, pred_instances=pose, gt_instances=box)


def test_coco_s_file_is_what_the_server_takes(tmp_path):
    settings = dict(type="CocoSubmission", split="test-dev2017", folder=str(tmp_path / "a/b"))
    with pytest.raises(ValueError, match=r"letters, digits, '-' and '_', but got 'a/b'"):
        METRICS.build(dict(settings, algorithm="a/b"))
    metric = METRICS.build(dict(settings, algorithm="our-method"))
    metric.dataset_meta = dict(dataset_name="a", num_keypoints=17, sigmas=np.full(17, 0.05), CLASSES=("person",))
    samples = [
        (7, 0, 0.9, 0.0),
        (7, 1, 0.8, 300.0),
        (7, 2, 0.7, 0.1),
        (11, 3, 0.6, 0.0),
    ]  # the third is the first again
    metric.process({}, [predicted(*sample) for sample in samples])
    assert metric.evaluate(4) == {}

    people = json.loads((tmp_path / f"a/b/{NAME}.json").read_text())
    assert [(person["image_id"], person["category_id"]) for person in people] == [(7, 1), (7, 1), (11, 1)]
    assert {(*sorted(person), len(person["keypoints"])) for person in people} == {(*KEYS, 51)}
    assert people[0]["keypoints"][3:6] == [6.67, 10.0, 0.5]
    assert [person["score"] for person in people] == pytest.approx([0.45, 0.4, 0.3])
    with zipfile.ZipFile(tmp_path / f"a/b/{NAME}.zip") as archive:
        assert archive.namelist() == [f"{NAME}.json"]
        assert json.loads(archive.read(f"{NAME}.json")) == people

    images = dict(images=[dict(id=7), dict(id=11)], annotations=[], categories=[dict(id=1, name="person")], info={})
    (tmp_path / "images.json").write_text(json.dumps(images))
    read = COCO(str(tmp_path / "images.json")).loadRes(str(tmp_path / f"a/b/{NAME}.json"))
    x, y = np.array(people[0]["keypoints"]).reshape(17, 3)[:, :2].T
    assert read.anns[1]["area"] == pytest.approx(np.ptp(x) * np.ptp(y))  # of the keypoints, not of the box


def test_mpii_s_people_and_what_does_not_fit(people, tmp_path):
    listed = write_mpii(people, tmp_path)
    write_release(tmp_path / "release.mat", listed)
    release = read_release(tmp_path / "release.mat")
    found = single_people(release)  # who stand apart in test images
    listed.append(listed[-1])  # is in two images, once in a group
    assert [(person.image_index, person.rect_index) for person in found] == [*((i, 0) for i in range(2, 7)), (7, 2)]
    places = [(entry["image"], tuple(entry["center"]), entry["scale"]) for entry in listed]
    assert [(person.image, person.center, person.scale) for person in found] == places

    for keypoints in (np.zeros((2, 17, 2)), np.full((6, 16, 2), np.nan)):
        with pytest.raises(ValueError, match=r"keypoints of shape \(6, 16, 2\).*but got shape"):
            write_submission(release, found, keypoints, tmp_path / "pred.mat")
    assert not (tmp_path / "pred.mat").exists()
    savemat(tmp_path / "other.mat", {"headboxes_src": np.zeros((2, 2))})
    (tmp_path / "text.mat").write_text("no")
    for name, words in (
        ("nowhere.mat", r"nowhere.mat does not exist: mpii_human_pose_v1_u12_1.mat"),
        ("other.mat", "not MPII's release file"),
        ("text.mat", "not MPII's release file"),
    ):
        with pytest.raises(ValueError, match=words):
            read_release(tmp_path / name)

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from mmpose.registry import METRICS
from xtcocotools.coco import COCO

NAME = "person_keypoints_test-dev2017_our-method_results"


def predicted(image_id, person_id, box_score, offset=0.0):
    keypoints = np.arange(34, dtype=np.float32).reshape(1, 17, 2) * 3.33333 + offset
    return dict(
        id=person_id,
        img_id=image_id,
        pred_instances=dict(
            keypoints=keypoints,
            keypoint_scores=np.full((1, 17), 0.5, dtype=np.float32),
            bboxes=np.array([[0.0, 0.0, 100.0, 200.0]]),
        ),
        gt_instances=dict(bbox_scores=np.array([box_score]), bbox_scales=np.array([[125.0, 250.0]])),
    )


def evaluate(folder, samples):
    cfg = dict(type="CocoSubmission", split="test-dev2017", algorithm="our-method", folder=str(folder))
    metric = METRICS.build(cfg)
    metric.dataset_meta = dict(
        dataset_name="coco_testdev", num_keypoints=17, sigmas=np.full(17, 0.05), CLASSES=("person",)
    )
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def test_file_and_content_are_what_the_server_takes(tmp_path):
    samples = [predicted(7, 0, 0.9), predicted(7, 1, 0.8, offset=300.0), predicted(11, 2, 0.6)]
    assert evaluate(tmp_path / "a/b", samples) == {}
    people = json.loads((tmp_path / f"a/b/{NAME}.json").read_text())
    assert [person["image_id"] for person in people] == [7, 7, 11]
    assert {(*sorted(person), person["category_id"], len(person["keypoints"])) for person in people} == {
        ("category_id", "image_id", "keypoints", "score", 1, 51)
    }
    assert people[0]["keypoints"][3:6] == [6.67, 10.0, 0.5]
    assert people[2]["score"] == pytest.approx(0.6 * 0.5)
    with zipfile.ZipFile(tmp_path / f"a/b/{NAME}.zip") as archive:
        assert archive.namelist() == [f"{NAME}.json"]
        assert json.loads(archive.read(f"{NAME}.json")) == people
    with pytest.raises(ValueError, match=r"letters, digits, '-' and '_', but got 'a/b'"):
        METRICS.build(dict(type="CocoSubmission", algorithm="a/b", folder=str(tmp_path)))


def test_coco_reads_it_back_without_duplicates(tmp_path):
    evaluate(tmp_path, [predicted(7, 0, 0.9), predicted(7, 1, 0.8, offset=0.1)])
    images = dict(images=[dict(id=7)], annotations=[], categories=[dict(id=1, name="person")], info={})
    (tmp_path / "images.json").write_text(json.dumps(images))
    (loaded,) = COCO(str(tmp_path / "images.json")).loadRes(str(tmp_path / f"{NAME}.json")).anns.values()
    assert loaded["score"] == pytest.approx(0.45)
    x, y = np.array(loaded["keypoints"]).reshape(17, 3)[:, :2].T
    assert loaded["area"] == pytest.approx(np.ptp(x) * np.ptp(y))  # of the keypoints, not of the box

"""Whatever is in a data set: a training has finite samples, or stops with a sentence that names the file."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmpose.evaluation import CocoMetric
from mmpose.registry import DATASETS

from tests.datasets.broken import (
    changed_text,
    check_sentence,
    dataset_config,
    repeatable,
    try_to_load,
    with_half_body,
)
from tfpose_mm.errors import UserError

OUTCOME = "finite samples of the good rows, or an error that names the file, the row and the fix before training starts"


@pytest.fixture
def content(people):
    return json.loads((people / "annotations/person_keypoints_train.json").read_text())


def test_training_on_changed_annotations(people, content, tmp_path, reliability):
    file = tmp_path / "changed.json"
    base = dataset_config("train", ann_file=str(file), data_prefix=dict(img=str(people / "train")))
    outcomes = Counter()
    cases = reliability.times(long=3000, short=30)

    @repeatable(cases)
    @given(data=changed_text(content), prob=st.sampled_from([0.0, 1.0]))
    def train(data, prob):
        file.write_bytes(data)
        outcomes[try_to_load(dict(base, pipeline=with_half_body(base["pipeline"], prob)), [file])] += 1

    train()
    assert set(outcomes) == {"loaded", "refused at the start"}  # none stops after hours of training
    reliability.row(
        part="data",
        fault="training on a json file with random changes: cuts, bytes, missing keys, wrong types, NaN, repeated rows",
        tried=cases,
        outcome=OUTCOME,
    )


def test_evaluation_on_changed_annotations(people, content, tmp_path, reliability):
    """The metric reads the file itself: it must have a finite score for each file that is not refused."""
    file = tmp_path / "changed.json"
    base = dataset_config("val", ann_file=str(file), data_prefix=dict(img=str(people / "train")), pipeline=[])
    outcomes = Counter()
    cases = reliability.times(long=1000, short=30)

    @repeatable(cases)
    @given(data=changed_text(content))
    def evaluate(data):
        file.write_bytes(data)
        try:
            dataset = DATASETS.build(base)
        except UserError as error:
            check_sentence(str(error), [file])
            outcomes["refused"] += 1
            return
        score = score_of_the_truth(dataset, file)
        assert np.isfinite(score)
        outcomes["evaluated"] += 1

    evaluate()
    assert set(outcomes) == {"refused", "evaluated"}
    reliability.row(
        part="data",
        fault="evaluation on a json file with such changes",
        tried=cases,
        outcome="a finite AP, or an error that names the file, the row and the fix before the first batch",
    )


def score_of_the_truth(dataset, file):
    """AP of the annotated keypoints as predictions."""
    metric = CocoMetric(ann_file=str(file))
    metric.dataset_meta = dataset.metainfo
    for info in (dataset.get_data_info(index) for index in range(len(dataset))):
        predicted = dict(keypoints=info["keypoints"], keypoint_scores=np.ones(info["keypoints"].shape[:2]))
        truth = dict(bbox_scores=info["bbox_score"], bbox_scales=info["bbox"][:, 2:] - info["bbox"][:, :2])
        sample = dict(id=info["id"], img_id=info["img_id"], pred_instances=predicted, gt_instances=truth)
        sample["category_id"] = int(info["category_id"])
        metric.process([], [sample])
    return metric.evaluate(len(dataset))["coco/AP"]


def test_evaluation_with_changed_boxes(people, content, tmp_path, reliability):
    file = tmp_path / "boxes.json"
    base = dataset_config("val", data_prefix=dict(img=str(people / "train")))
    base.update(ann_file=str(people / "annotations/person_keypoints_train.json"), bbox_file=str(file))
    boxes = [
        dict(image_id=row["image_id"], category_id=1, bbox=row["bbox"], score=0.5) for row in content["annotations"]
    ]
    outcomes = Counter()
    cases = reliability.times(long=1000, short=30)

    @repeatable(cases)
    @given(data=changed_text(boxes))
    def load(data):
        file.write_bytes(data)
        outcomes[try_to_load(base, [file])] += 1

    load()
    assert set(outcomes) == {"loaded", "refused at the start"}
    reliability.row(
        part="data",
        fault="evaluation on a file of boxes with such changes",
        tried=cases,
        outcome="finite samples of the good boxes, or an error that names the file and the right form",
    )


def test_training_on_changed_images(people, tmp_path, reliability):
    """OpenCV decodes the rows before a cut and leaves the other rows grey."""
    shutil.copytree(people / "train", tmp_path / "train")
    base = dataset_config("train", data_prefix=dict(img=str(tmp_path / "train")))
    base["ann_file"] = str(people / "annotations/person_keypoints_train.json")
    dataset = DATASETS.build(base)
    path = tmp_path / "train" / dataset.get_data_info(0)["img_path"]
    good = path.read_bytes()
    outcomes = Counter()
    cases = reliability.times(long=1000, short=30)

    @repeatable(cases)
    @given(
        kind=st.sampled_from(["cut", "bytes", "other"]),
        place=st.integers(0, len(good) - 1),
        noise=st.binary(min_size=0, max_size=30),
    )
    def load(kind, place, noise):
        changed = dict(cut=good[:place], bytes=good[:place] + noise + good[place + len(noise) :], other=noise)
        path.write_bytes(changed[kind])
        try:
            sample = dataset[0]
        except UserError as error:
            check_sentence(str(error), [f"{path} ({base['ann_file']}, annotation id 1)"])
            outcomes["refused"] += 1
        else:
            assert sample["inputs"].shape == (3, 128, 96)
            outcomes["loaded"] += 1

    load()
    assert set(outcomes) == {"refused", "loaded"}
    reliability.row(
        part="data",
        fault="training on an image with changed, missing or other bytes",
        tried=cases,
        outcome="OpenCV decodes a part of it, or an error that names the image, the annotation and the fix",
        lost="the iterations since the last checkpoint",
    )

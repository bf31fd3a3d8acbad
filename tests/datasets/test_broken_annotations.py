"""Whatever is in a data set: a training has finite samples, or stops with a sentence that names the file."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmpose.evaluation import CocoMetric
from mmpose.registry import DATASETS

from tests.datasets.conftest import check_sample, dataset_config
from tfpose_mm.errors import UserError

ANNOTATIONS = "annotations/person_keypoints_train.json"
SENTENCE = "an error that names the file, the row and the fix"
INF, NAN = float("inf"), float("nan")
VALUES = [None, True, False, "", "abc", "1.5", "\0", [], [1, 2], [[]], {}, {"id": 1}]
VALUES += [NAN, INF, -INF, 0, -0.0, 1, 2, 3, 0.5, -1, 17, 99999, 1e-30, 1e7, -1e30, 1e300, 2**31, 2**63, 10**400]
values = st.one_of(st.sampled_from(VALUES), st.floats(-1000, 1000), st.floats(), st.integers(), st.text(max_size=5))


def repeatable(cases):
    """Settings of hypothesis: the same cases in each run."""
    checks = list(HealthCheck)
    return settings(max_examples=cases, derandomize=True, deadline=None, database=None, suppress_health_check=checks)


@st.composite
def changed_text(draw, content):
    """A json file with one to five changes, at random places of its tree or of its bytes."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 5]))):
        _change(draw, content)
    data = json.dumps(content).encode()
    kind, place = draw(st.sampled_from(["tree"] * 8 + ["cut", "bytes"])), draw(st.integers(0, len(data) - 1))
    noise = draw(st.binary(min_size=1, max_size=4))
    return dict(tree=data, cut=data[:place], bytes=data[:place] + noise + data[place + len(noise) :])[kind]


def _change(draw, content):
    """Change one value of a tree of dicts and lists, near its root or in a row, or a key of all rows."""
    parent, child = content, content
    for _ in range(draw(st.sampled_from([1, 2, 3, 3, 3, 3, 4, 4, 4]))):
        if not isinstance(child, (dict, list)) or not child:
            break
        parent = child
        key = draw(st.sampled_from(sorted(parent) if isinstance(parent, dict) else range(len(parent))))
        child = parent[key]
    if not parent:
        return
    action, value = draw(st.sampled_from(["replace"] * 6 + ["delete", "copy", "every"])), draw(values)
    if action == "delete":
        del parent[key]
    elif action == "copy" and isinstance(parent, list):
        parent.append(copy.deepcopy(child))
    elif action == "every" and isinstance(key, str):  # as a faulty script writes them
        rows = content.get("annotations", []) if isinstance(content, dict) else content
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and key in row:
                row[key] = copy.deepcopy(value)
    else:
        parent[key] = copy.deepcopy(value)


def check_sentence(error, name):
    """An error is one line that names the file and says how to fix it."""
    text = str(error)
    assert str(name) in text
    assert re.fullmatch(r".*: .*\.", text)
    assert len(text) < 900


@pytest.fixture
def content(people):
    return json.loads((people / ANNOTATIONS).read_text())


@pytest.fixture
def try_files(tmp_path, people, reliability):
    """Write many changed files, use each as a key of the config of a data set, and report what happens."""

    def run(fault, outcome, texts, split="train", long=1000, key="ann_file", check=lambda dataset: None):
        file, outcomes, cases = tmp_path / "changed.json", Counter(), reliability.times(long=long, short=30)
        good = dict(ann_file=str(people / ANNOTATIONS), data_prefix=dict(img=str(people / "train")))
        config = dataset_config(split, **{**good, key: str(file)})

        @repeatable(cases)
        @given(data=texts)
        def try_file(data):
            file.write_bytes(data)
            try:
                dataset = DATASETS.build(config)
            except UserError as error:
                check_sentence(error, file)
                outcomes["refused"] += 1
                return
            assert len(dataset) > 0
            for index in range(len(dataset)):  # none stops after hours of training
                check_sample(dataset[index])
            check(dataset)
            outcomes["used"] += 1

        try_file()
        assert set(outcomes) == {"used", "refused"}
        reliability.row("data", fault, cases, outcome)

    return run


def test_training_on_changed_annotations(content, try_files):
    fault = "training on a json file with random changes: cuts, bytes, missing keys, wrong types, NaN, repeated rows"
    outcome = f"finite samples of the good rows, or {SENTENCE} before training starts"
    try_files(fault, outcome, changed_text(content), long=3000)


def test_evaluation_on_changed_annotations(content, try_files):
    """The metric reads the file itself: it must have a finite score for each file that is not refused."""
    outcome = f"a finite AP, or {SENTENCE} before the first batch"
    try_files("evaluation on a json file with such changes", outcome, changed_text(content), "val", check=check_score)


def check_score(dataset):
    """AP of the annotated keypoints as predictions is finite."""
    metric = CocoMetric(ann_file=dataset.ann_file)
    metric.dataset_meta = dataset.metainfo
    for info in (dataset.get_data_info(index) for index in range(len(dataset))):
        predicted = dict(keypoints=info["keypoints"], keypoint_scores=np.ones(info["keypoints"].shape[:2]))
        truth = dict(bbox_scores=info["bbox_score"], bbox_scales=info["bbox"][:, 2:] - info["bbox"][:, :2])
        sample = dict(id=info["id"], img_id=info["img_id"], pred_instances=predicted, gt_instances=truth)
        metric.process([], [dict(sample, category_id=int(info["category_id"]))])
    assert np.isfinite(metric.evaluate(len(dataset))["coco/AP"])


def test_evaluation_with_changed_boxes(content, try_files):
    rows = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.5) for a in content["annotations"]]
    outcome = "finite samples of the good boxes, or an error that names the file and the right form"
    fault = "evaluation on a file of boxes with such changes"
    try_files(fault, outcome, changed_text(rows), "val", key="bbox_file")


def test_training_on_changed_images(people, tmp_path, reliability):
    """OpenCV decodes the rows before a cut and leaves the other rows grey."""
    shutil.copytree(people / "train", tmp_path / "train")
    good = dict(ann_file=str(people / ANNOTATIONS), data_prefix=dict(img=str(tmp_path / "train")))
    dataset = DATASETS.build(dataset_config("train", **good))
    path = tmp_path / "train/000000000001.jpg"
    good, outcomes = path.read_bytes(), Counter()
    cases = reliability.times(long=1000, short=30)

    @repeatable(cases)
    @given(kind=st.sampled_from("cbo"), place=st.integers(0, len(good) - 1), noise=st.binary(min_size=0, max_size=30))
    def load(kind, place, noise):
        path.write_bytes(dict(c=good[:place], b=good[:place] + noise + good[place + len(noise) :], o=noise)[kind])
        try:
            assert dataset[0]["inputs"].shape == (3, 128, 96)
            outcomes["used"] += 1
        except UserError as error:
            check_sentence(error, f"{path} ({dataset.ann_file}, annotation id 1)")
            outcomes["refused"] += 1

    load()
    assert set(outcomes) == {"refused", "used"}
    fault = "training on an image with changed, missing or other bytes"
    outcome = "OpenCV decodes a part of it, or an error that names the image, the annotation and the fix"
    reliability.row("data", fault, cases, outcome, "the iterations since the last checkpoint")

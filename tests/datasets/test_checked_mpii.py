"""Faults in MPII's json: a training leaves the row out or stops; a test stops; sentences have the file and the row."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.body import mpii_dataset
from mmpose.registry import DATASETS
from scipy.io import savemat

from tests.datasets.broken import changed_text, check_sentence, repeatable, try_to_load, with_half_body
from tests.helpers import mpii
from tfpose_mm.datasets import checked_mpii
from tfpose_mm.errors import UserError

NAN, INF = float("nan"), float("inf")


class Mpii:
    """A folder with MPII's files of synthetic persons."""

    def __init__(self, root):
        self.root = root
        mpii.from_coco_with_images(root)
        self.cfg = mpii.config(root)

    def path(self, split="train"):
        return self.root / f"annotations/mpii_{split}.json"

    def content(self, split="train"):
        return json.loads(self.path(split).read_text())

    def write(self, content, split="train"):
        self.path(split).write_text(json.dumps(content))

    def build(self, split="train", **changes):
        init_default_scope("mmpose")
        return DATASETS.build(dict(self.cfg[f"{split}_dataloader"].dataset.to_dict(), **changes))


@pytest.fixture
def data(people, tmp_path):
    shutil.copytree(people, tmp_path / "data")
    return Mpii(tmp_path / "data")


@pytest.fixture
def logged(monkeypatch):
    """What the data set logs: (level, text)."""
    lines = []
    monkeypatch.setattr(checked_mpii, "print_log", lambda text, logger, level: lines.append((level, text)))
    return lines


@pytest.mark.parametrize("split", ["train", "val"])
def test_good_data_are_those_of_mmpose(data, split):
    ours, theirs = data.build(split), data.build(split, type="MpiiDataset")
    assert len(ours) == len(theirs) == {"train": 9, "val": 5}[split]
    for index in range(len(ours)):
        mine, other = ours.get_data_info(index), theirs.get_data_info(index)
        assert set(mine) == set(other)
        for name in ("bbox", "bbox_scale", "keypoints", "keypoints_visible", "area"):
            np.testing.assert_array_equal(mine[name], other[name])
        assert (mine["img_path"], mine["id"], mine["img_id"]) == (other["img_path"], other["id"], other["img_id"])
    assert ("head_size" in ours.get_data_info(0)) == (split == "val")
    assert mpii_dataset.json is json


CHANGES = [
    (dict(image="abc.jpg"), "image must be a name whose part before the first point is a whole number"),
    (dict(image=7), "image must be a name"),
    (dict(center=[NAN, 3]), r"center must be \[x, y\] in pixels, but is \[nan, 3\]"),
    (dict(center=[1, 2, 3]), r"center must be \[x, y\] in pixels, but is \[1, 2, 3\]"),
    (dict(scale=0), "scale must be the height of the person in pixels / 200, .*, but is 0"),
    (dict(scale=-1), "scale must be .* but is -1"),
    (dict(scale=INF), "scale must be .* but is inf"),
    (dict(scale=10**400), "scale must be .* but is 1000"),
    (dict(scale="2"), "scale must be .* but is '2'"),
    (dict(joints=[[1, 2]] * 17), "joints and joints_vis must have 16 entries, but have 17 and 16"),
    (dict(joints=[[1, 2]] * 15 + [[1]]), r"joints must be a list of \[x, y\]"),
    (dict(joints=[[1, 2]] * 15 + [[NAN, 3]], joints_vis=[1] * 16), r"keypoint 15 is \[nan, 3, 1\]"),
    (dict(joints=[[5, 5]] * 16, joints_vis=[1] * 16), "all 16 labelled keypoints are at one"),
    (dict(joints_vis=[1] * 15 + [2]), "joints_vis must be a list of 0 and 1"),
    (dict(joints_vis=[1] * 15 + [-1]), "joints_vis must be a list of 0 and 1"),
    (dict(joints_vis=[1] * 15 + [True]), "joints_vis must be a list of 0 and 1"),
    (dict(joints_vis=None), "joints_vis must be a list of 0 and 1, but is None"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_faulty_row_is_left_out_of_a_training_and_stops_a_test(data, logged, change, message):
    for split in ("train", "val"):
        content = data.content(split)
        content[2].update(change)
        data.write(content, split)
    dataset = data.build()
    assert [dataset.get_data_info(index)["id"] for index in range(len(dataset))] == [0, 1, 3, 4, 5, 6, 7, 8]
    warnings = [text for level, text in logged if level == logging.WARNING]
    assert any(re.search(message, text) for text in warnings[:-1])
    assert warnings[-1].endswith("8 of 9 persons are used, 1 faulty rows are left out")
    with pytest.raises(UserError, match=rf"^{data.path('val')}, row 2: .*{message}.*a test needs all rows of the file"):
        data.build("val")


@pytest.mark.parametrize("key", ["image", "center", "scale", "joints", "joints_vis"])
def test_a_missing_key_in_all_rows_stops_a_training(data, key):
    content = data.content()
    for row in content:
        del row[key]
    data.write(content)
    with pytest.raises(UserError, match=rf"^{data.path()}: .* 9 are faulty .*row.* 0, 1, 2, .* the key '{key}'"):
        data.build()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "a file in MPII's json format must be a list of persons, but is an object"),
        ([], "a file in MPII's json format must be a list of persons, but is an empty list"),
        ([1, 2], "each person must be an object, but this is a number"),
        (None, "must be a list of persons, but is null"),
    ],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_another_content(data, split, content, message):
    data.write(content, split)
    with pytest.raises(UserError, match=message) as raised:
        data.build(split)
    check_sentence(str(raised.value), [data.path(split)])


def test_seventeen_joints_stop_a_training(data):
    content = [dict(row, joints=[*row["joints"], [3, 4]], joints_vis=[*row["joints_vis"], 1]) for row in data.content()]
    data.write(content)
    with pytest.raises(
        UserError, match=r"row 0: joints and joints_vis must have 16 entries, but have 17 and 17, and 8"
    ):
        data.build()


def test_a_person_without_position_or_labelled_joint_is_used(data):
    content = data.content("val")
    content[1]["center"] = [-1, -1]
    content[2]["joints_vis"] = [0] * 16
    data.write(content, "val")
    assert len(data.build("val")) == 5


def test_missing_images(data):
    (data.root / "images/000000000007.jpg").unlink()
    dataset = data.build()
    assert [dataset.get_data_info(index)["id"] for index in range(len(dataset))] == [0, 1, 2, 3, 4, 5, 7, 8]
    (data.root / "images/900000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"all images of a test must exist, but 1 of 5 .*900000000002.jpg"):
        data.build("val")


def test_an_unreadable_image_is_named_with_its_row(data):
    image = data.root / "images/000000000007.jpg"
    dataset = data.build()
    image.write_bytes(b"GIF")
    with pytest.raises(UserError, match=rf"{image} \({data.path()}, row 6\): the image must be readable"):
        dataset[6]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((2, 2, 4)), r"must have the shape \(2, 2, 5\), one box for each row .* but has \(2, 2, 4\)"),
        (np.zeros((2, 2, 6)), r"but has \(2, 2, 6\)"),
        (b"text", "must be a .mat file with headboxes_src, but reading it fails"),
        (None, "The file of head boxes .*mpii_gt_val.mat does not exist: correct headbox_file"),
    ],
)
def test_head_boxes_that_do_not_fit(data, boxes, message):
    file = data.root / "annotations/mpii_gt_val.mat"
    file.unlink()
    if isinstance(boxes, bytes):
        file.write_bytes(boxes)
    elif boxes is not None:
        savemat(file, {"headboxes_src": boxes})
    with pytest.raises(UserError, match=message):
        data.build("val")


def test_boxes_of_a_detector_are_refused(data):
    with pytest.raises(UserError, match=r"boxes.json: MpiiDataset uses the boxes of ann_file, .*: set bbox_file=None"):
        data.build("val", bbox_file="boxes.json")


@pytest.mark.slow
def test_training_on_changed_annotations_of_mpii(data, reliability):
    content, config = data.content(), data.cfg.train_dataloader.dataset.to_dict()
    init_default_scope("mmpose")
    outcomes = Counter()
    cases = reliability.times(long=1000, short=30)

    @repeatable(cases)
    @given(text=changed_text(content), prob=st.sampled_from([0.0, 1.0]))
    def train(text, prob):
        data.path().write_bytes(text)
        changed = dict(config, serialize_data=False, pipeline=with_half_body(config["pipeline"], prob))
        outcomes[try_to_load(changed, [data.path()])] += 1

    train()
    assert set(outcomes) == {"loaded", "refused at the start"}
    reliability.row(
        part="data",
        fault="training on an MPII json file with such changes",
        tried=cases,
        outcome="finite samples of the good rows, or an error that names the file, the row and the fix before training "
        "starts",
    )

"""Faults of labels are found in the right rows; correct labels give no finding. K is 17 and 14."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.data_faults import FAULTS, inject
from tfpose_mm.datasets.checks.labels import check_labels
from tfpose_mm.datasets.checks.sides import MIN_ROWS

BY_NAME = {fault.name: fault for fault in FAULTS}
# fault: the smallest fraction of the changed rows that must be found
ROWS = {
    "left and right shoulder exchanged": 1.0,
    "left and right elbow exchanged": 1.0,
    "left and right hip exchanged": 1.0,
    "left and right knee exchanged": 0.9,
    "one keypoint anywhere in the image": 0.15,
    "keypoints 0 to 1 of the image": 0.9,
    "keypoints 0 to 1 of the box": 0.9,
    "keypoints of the crop, in pixels": 0.3,
    "keypoints of an image of half the size": 0.25,
    "keypoints as y, x, v": 0.25,
    "keypoints as x, v, y": 1.0,
    "boxes with their centre": 0.5,
    "boxes as x1, y1, x2, y2": 0.4,
}
WHOLE_FILE = {
    "left and right shoulder exchanged": "flip_pair_exchanged",
    "left and right elbow exchanged": "flip_pair_exchanged",
    "left and right wrist exchanged": "flip_pair_exchanged",
    "left and right hip exchanged": "flip_pair_exchanged",
    "left and right knee exchanged": "flip_pair_exchanged",
    "left and right ankle exchanged": "flip_pair_exchanged",
    "left and right of both arms exchanged": "flip_pair_exchanged",
    "left wrist and left ankle exchanged": "keypoint_order",
    "wrists and ankles exchanged": "keypoint_order",
    "left hip and left knee exchanged": "flip_pair_distances",
}
SETS = pytest.mark.parametrize("number", [17, 14])


@pytest.fixture
def labels(number, many, many_lspet, coco_keypoints, lspet_keypoints):
    return {17: (many, coco_keypoints), 14: (many_lspet, lspet_keypoints)}[number]


@SETS
def test_correct_labels_have_no_fault(labels, number):
    findings, not_checked = check_labels(*labels, "file.json")
    assert findings == []
    assert len(not_checked) == (number == 14)  # mirrored instances, which only a face shows


@SETS
@pytest.mark.parametrize("name", ROWS)
def test_a_fault_of_some_rows_is_found_in_these_rows(labels, name, number, reliability):
    content, keypoints = labels
    changed, rows = inject(content, BY_NAME[name], 0.05, keypoints, seed=1)
    findings, _ = check_labels(changed, keypoints, "file.json")
    assert {finding.file for finding in findings} == {"file.json"}
    found = {finding.row for finding in findings if finding.check in BY_NAME[name].checks}
    assert found <= rows
    assert len(found) >= ROWS[name] * len(rows)
    share = "all" if ROWS[name] == 1 else f"{ROWS[name]:.0%} or more"
    outcome = f"`check_data` reports {share} of these rows, and no other row"
    if number == 17:
        reliability.row("data", f"check_data, 5 % of 240 synthetic instances: {name}", 1, outcome)


@SETS
@pytest.mark.parametrize("name", WHOLE_FILE)
def test_a_fault_of_all_rows_is_one_finding_of_the_file(labels, name, number):
    content, keypoints = labels
    changed, _ = inject(content, BY_NAME[name], 1.0, keypoints, seed=1)
    whole = [finding for finding in check_labels(changed, keypoints, "file.json")[0] if finding.row is None]
    assert WHOLE_FILE[name] in [finding.check for finding in whole]
    joint = name.split()[-2]
    if WHOLE_FILE[name] == "flip_pair_exchanged" and "arms" not in name:
        assert len(whole) == 1
        names = {f"the line left_{joint}/right_{joint}", f"the line right_{joint}/left_{joint}"}
        assert whole[0].detail.split(" should")[0] in names


@SETS
def test_a_fault_of_a_fifth_of_the_rows_is_found_at_the_end_of_a_limb(labels):
    content, keypoints = labels
    changed, rows = inject(content, BY_NAME["left and right wrist exchanged"], 0.2, keypoints, seed=1)
    findings, _ = check_labels(changed, keypoints, "file.json")
    assert [f.check for f in findings if f.row is None] == ["left_right_often_opposite"]
    found = {finding.row for finding in findings if finding.row is not None}
    assert found <= rows
    assert len(found) > len(rows) / 2


def test_mirrored_faces_are_found_in_their_rows(many, coco_keypoints):
    changed, rows = inject(many, BY_NAME["all pairs exchanged (mirrored labels)"], 0.2, coco_keypoints, seed=1)
    findings, _ = check_labels(changed, coco_keypoints, "file.json")
    assert {finding.check for finding in findings} == {"face_mirrored"}
    visible = {
        row for row in rows if all(many["annotations"][row]["keypoints"][3 * index + 2] == 2 for index in range(3))
    }
    assert {finding.row for finding in findings} == visible
    assert visible
    changed, _ = inject(many, BY_NAME["all pairs exchanged (mirrored labels)"], 1.0, coco_keypoints, seed=1)
    assert [(f.check, f.row) for f in check_labels(changed, coco_keypoints, "file.json")[0]] == [
        ("faces_mirrored", None)
    ]


def test_a_turned_head_is_no_mirrored_face(many, coco_keypoints):
    """Rotations of the image change no sign."""
    rows = []
    for angle, row in zip(np.linspace(0, 6, len(many["annotations"])), many["annotations"]):
        points = np.array(row["keypoints"]).reshape(17, 3)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points[:, :2] = points[:, :2] @ turn.T
        rows.append(dict(row, keypoints=points.ravel().tolist()))
    findings, _ = check_labels(dict(many, annotations=rows), coco_keypoints, "file.json")
    assert not [f for f in findings if f.check.startswith(("face", "left_right", "flip_pair_exchanged"))]


def test_few_rows_give_no_finding_of_the_file(many, coco_keypoints):
    changed, _ = inject(many, BY_NAME["left and right wrist exchanged"], 1.0, coco_keypoints, seed=1)
    few = dict(changed, annotations=changed["annotations"][: MIN_ROWS - 1])
    assert not check_labels(few, coco_keypoints, "file.json")[0]


def test_rows_that_a_training_leaves_out_are_not_counted(many, coco_keypoints):
    changed, rows = inject(many, BY_NAME["left and right hip exchanged"], 0.05, coco_keypoints, seed=1)
    assert check_labels(changed, coco_keypoints, "file.json")[0]
    assert not check_labels(changed, coco_keypoints, "file.json", rows)[0]


def test_broken_rows_are_left_to_the_other_checks(many, coco_keypoints):
    broken = [None, {}, dict(keypoints="x"), dict(many["annotations"][0], bbox=[1, 2]), dict(many["annotations"][0])]
    broken[-1]["keypoints"] = [float("nan")] * 51
    content = dict(many, annotations=[*broken, *many["annotations"]])
    assert check_labels(content, coco_keypoints, "file.json")[0] == []
    assert check_labels(dict(content, annotations=broken), coco_keypoints, "file.json")[1] == [
        "left and right, order and lengths of the keypoints, because no row can be used"
    ]

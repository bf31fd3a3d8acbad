"""Faults of the labels of a whole file are found; correct labels give no finding. K is 17 and 14."""

from __future__ import annotations

import copy
from pathlib import Path

import mmpose
import numpy as np
import pytest

from tests.datasets.checks.conftest import LSPET, parse
from tfpose_mm.datasets.annotation_checks import inspect_annotations
from tfpose_mm.datasets.checks.labels import MIN_ROWS, check_labels, check_metainfo, mirror_name
from tfpose_mm.datasets.config_data import keypoint_names

SETS = pytest.mark.parametrize("number", [17, 14])


def exchange(*pairs):
    """Exchange columns of keypoints."""

    def change(points, boxes, sizes, names):
        for pair in pairs:
            one, other = (names.index(name) for name in pair)
            points[:, [one, other]] = points[:, [other, one]]

    return change


def sides(*joints):
    """Exchange left and right of joints."""
    return exchange(*((f"left_{joint}", f"right_{joint}") for joint in joints))


def mirror(points, boxes, sizes, names):
    sides(*(name[5:] for name in names if name.startswith("left_")))(points, boxes, sizes, names)


def move(function):
    """Move the labelled keypoints: a function of points (N, K, 2), corners and sizes of boxes, and images (N, 1, 2)."""

    def change(points, boxes, sizes, names):
        moved = function(points[..., :2], boxes[:, None, :2], boxes[:, None, 2:], sizes[:, None])
        points[..., :2] = np.where(points[..., 2:] > 0, moved, points[..., :2])

    return change


def columns(order):
    def change(points, boxes, sizes, names):
        points[:] = points[..., order]

    return change


def centre(points, boxes, sizes, names):
    boxes[:, :2] += boxes[:, 2:] / 2


def corners(points, boxes, sizes, names):
    boxes[:, 2:] += boxes[:, :2]


JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
FAULTS = {
    **{f"left and right {joint}": (sides(joint), "flip_pair_exchanged") for joint in JOINTS},
    "both arms": (sides("shoulder", "elbow", "wrist"), "flip_pair_exchanged"),
    "left wrist and ankle": (exchange(("left_wrist", "left_ankle")), "keypoint_order"),
    "wrists and ankles": (
        exchange(("left_wrist", "left_ankle"), ("right_wrist", "right_ankle")),
        "keypoint_order",
    ),
    "left hip and knee": (exchange(("left_hip", "left_knee")), "flip_pair_distances"),
    "0 to 1 of the image": (move(lambda points, corner, box, image: points / image), "label_scale"),
    "0 to 1 of the box": (move(lambda points, corner, box, image: (points - corner) / box), "label_scale"),
    "of the crop": (move(lambda points, corner, box, image: points - corner), "label_scale"),
    "of an image of half the size": (move(lambda points, corner, box, image: points / 2), "label_scale"),
    "y, x, v": (columns([1, 0, 2]), "label_scale"),
    "x, v, y": (columns([0, 2, 1]), "keypoint_columns"),
    "v, x, y": (columns([2, 0, 1]), "keypoint_columns"),
    "boxes with their centre": (centre, "bbox_format"),
    "boxes as x1, y1, x2, y2": (corners, "bbox_format"),
}


@pytest.fixture
def labels(number, many, many_lspet, coco_keypoints, lspet_keypoints):
    return {17: (many, coco_keypoints), 14: (many_lspet, lspet_keypoints)}[number]


def changed(content, change, metainfo):
    """A copy with changed keypoints (N, K, 3) and boxes (N, 4)."""
    content = dict(content, annotations=copy.deepcopy(content["annotations"]))
    rows, sizes = content["annotations"], {image["id"]: image for image in content["images"]}
    points = np.array([row["keypoints"] for row in rows], float).reshape(len(rows), -1, 3)
    boxes = np.array([row["bbox"] for row in rows], float)
    images = np.array([[sizes[row["image_id"]][side] for side in ("width", "height")] for row in rows], float)
    change(points, boxes, images, keypoint_names(metainfo))
    for row, keypoints, box in zip(rows, points, boxes):
        row.update(keypoints=keypoints.ravel().tolist(), bbox=box.tolist())
    return content


def check(content, metainfo):
    """Names of the faults and sentences; what is not checked."""
    found = inspect_annotations(content, "file.json", metainfo["num_keypoints"])
    return check_labels(found.instances, found.skipped, metainfo, content["categories"])


@SETS
def test_correct_labels_have_no_fault(labels, number):
    findings, not_checked = check(*labels)
    assert findings == []
    assert len(not_checked) == (number == 14)  # mirrored instances, which only a face shows


@SETS
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_all_rows_is_a_finding_of_the_file(labels, name, number):
    content, metainfo = labels
    change, expected = FAULTS[name]
    faults, _ = check(changed(content, change, metainfo), metainfo)
    assert expected in dict(faults)
    if expected == "flip_pair_exchanged":
        ((_, detail),) = faults
        joint = name.split()[-1]
        names = {f"of left_{joint}/right_{joint} in", f"of right_{joint}/left_{joint} in"}
        assert name == "both arms" or any(words in detail for words in names)


def test_the_correction_is_the_right_one(many, coco_keypoints):
    words = {
        "0 to 1 of the image": "multiply x by the image's width",
        "0 to 1 of the box": "are 0 to 1 of the box",
        "of the crop": "add the corner of the box",
        "of an image of half the size": "after a multiplication by 2",
        "y, x, v": "exchange x and y",
        "x, v, y": "fit as x, v, y",
        "boxes with their centre": "subtract half of width and height",
        "boxes as x1, y1, x2, y2": "fit as [x1, y1, x2, y2]",
    }
    for name, part in words.items():
        findings, _ = check(changed(many, FAULTS[name][0], coco_keypoints), coco_keypoints)
        assert part in findings[0][1]


def test_mirrored_faces_are_found(many, coco_keypoints):
    findings, _ = check(changed(many, mirror, coco_keypoints), coco_keypoints)
    assert [*dict(findings)] == ["faces_mirrored"]
    findings, _ = check(changed(many, sides("eye"), coco_keypoints), coco_keypoints)
    assert "faces_mirrored" in [*dict(findings)]


def test_a_turned_head_is_no_mirrored_face(many, coco_keypoints):
    """Rotations of the image change no sign."""

    def turn(points, boxes, sizes, names):
        for angle, instance in zip(np.linspace(0, 6, len(points)), points):
            matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            middle = instance[:, :2].mean(0)
            instance[:, :2] = (instance[:, :2] - middle) @ matrix.T + middle

    findings, _ = check(changed(many, turn, coco_keypoints), coco_keypoints)
    assert not {"faces_mirrored", "flip_pair_exchanged"} & set(dict(findings))


@pytest.mark.parametrize("name", ["left and right wrist", "0 to 1 of the image", "x, v, y", "boxes as x1, y1, x2, y2"])
def test_few_rows_give_no_finding_of_the_file(many, coco_keypoints, name):
    content = changed(many, FAULTS[name][0], coco_keypoints)
    few = dict(content, annotations=content["annotations"][: MIN_ROWS - 1])
    assert not check(few, coco_keypoints)[0]


def test_rows_that_a_training_leaves_out_are_not_counted(many, coco_keypoints):
    content = changed(many, FAULTS["left and right hip"][0], coco_keypoints)
    rows = inspect_annotations(content, "file.json", 17).instances
    assert check_labels(rows, (), coco_keypoints, [])[0]
    reason = "left and right, order and lengths of the keypoints, because no row can be used"
    assert check_labels(rows, rows.index, coco_keypoints, []) == ([], [reason])


def test_a_wrong_flip_pair_of_the_metainfo_is_seen_in_the_data(many_lspet):
    metainfo = copy.deepcopy(LSPET)
    for index, swap in {3: "left_knee", 4: "left_hip", 1: "right_hip", 2: "right_knee"}.items():
        metainfo["keypoint_info"][index]["swap"] = swap
    findings, _ = check(many_lspet, parse(metainfo))
    details = [detail for name, detail in findings if name == "flip_pair_distances"]
    assert len(details) == 2
    assert details[0].startswith("right_knee and right_hip of a flip pair should be equally far")


def contradictions(changes, categories=(), **replaced):
    metainfo = copy.deepcopy(dict(LSPET, **replaced))
    for index, change in changes.items():
        metainfo["keypoint_info"][index].update(change)
    return dict(check_metainfo(parse(metainfo), categories))


def test_flip_pairs_by_name():
    assert contradictions({}) == {}
    wrong = contradictions({3: dict(swap="left_knee"), 4: dict(swap="left_hip"), 1: dict(swap=""), 2: dict(swap="")})
    assert "should pair left_knee with right_knee, but pairs it with left_hip" in wrong["flip_pair_names"]
    alone = contradictions({5: dict(swap=""), 0: dict(swap="")})
    assert "should pair left_ankle with right_ankle, but pairs it with left_ankle" in alone["flip_pair_names"]


@pytest.mark.parametrize(
    ("sigmas", "words"),
    [
        ([0.1] * 13, "should have 14 sigmas, but has 13"),
        ([0.1] * 13 + [0.0], "that of head_top is 0"),
        ([float("nan")] + [0.1] * 13, "that of right_ankle is nan"),
        ([8.9] + [0.1] * 13, "that of right_ankle is 8.9"),
        ([0.04] + [0.1] * 13, "right_ankle has 0.04 and left_ankle 0.1"),
    ],
)
def test_wrong_sigmas(sigmas, words):
    assert words in contradictions({}, sigmas=sigmas)["sigmas"]


def test_names_in_the_file():
    """Another order is a contradiction, synonyms are not."""
    names = [LSPET["keypoint_info"][index]["name"] for index in range(14)]
    synonyms = [*(name.title().replace("_", " ") for name in names[:13]), "top of head"]
    assert contradictions({}, [dict(id=1, keypoints=synonyms)]) == {}
    names[2], names[9] = names[9], names[2]
    details = contradictions({}, [dict(id=1, keypoints=names)])
    assert "keypoint 2 is left_shoulder in the file and right_hip in the metainfo" in details["keypoint_names"]


def test_mirrored_names():
    mirrored = dict(left_hip="right_hip", hip_r="hip_l", upper_body="upper_body", l_eye2="r_eye2", bright="bright")
    assert {name: mirror_name(name) for name in mirrored} == mirrored


def test_the_metainfo_of_mmpose():
    """No false alarm; the contradictions are in these files."""
    folder = Path(mmpose.__path__[0]) / ".mim/configs/_base_/datasets"
    found = {path.stem: dict(check_metainfo(parse(dict(from_file=str(path))), [])) for path in folder.glob("*.py")}
    wrong = {"atrw", "coco_openpose", "coco_wholebody_openpose"}
    assert {name: set(faults) for name, faults in found.items() if faults} == {name: {"sigmas"} for name in wrong}

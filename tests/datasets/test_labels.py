"""Faults of the labels of a whole file are found; correct labels give no finding. K is 17 and 14."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import mmpose
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.datasets.datasets.utils import parse_pose_metainfo as parse

from tests.helpers.paths import ROOT
from tfpose_mm.datasets.annotation_checks import inspect_annotations
from tfpose_mm.datasets.checks.labels import MIN_ROWS, check_labels, check_metainfo, mirror_name
from tfpose_mm.datasets.config_data import keypoint_names
from tfpose_mm.datasets.synthetic import write_dataset

LSPET = Config.fromfile(str(ROOT / "configs/_base_/lspet_keypoints.py")).metainfo.to_dict()
METAINFO = {17: parse(dict(from_file="configs/_base_/datasets/coco.py")), 14: parse(LSPET)}
NAMES = {number: keypoint_names(metainfo) for number, metainfo in METAINFO.items()}


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """The annotations of 240 instances with COCO's 17 keypoints, and with the 14 of Leeds Sports Pose."""
    out = tmp_path_factory.mktemp("many") / "easy"
    write_dataset(out, train=240, val=0, seed=7, workers=2)
    many = json.loads((out / "annotations/person_keypoints_train.json").read_text())
    rows = []
    for row in many["annotations"]:
        points = np.array(row["keypoints"]).reshape(17, 3)
        neck, hips = points[[5, 6]].mean(0), points[[11, 12]].mean(0)
        named = dict(zip(NAMES[17], points), neck=neck, head_top=neck + (neck - hips) * [0.5, 0.5, 0])
        rows.append(dict(row, keypoints=np.ravel([named[name] for name in NAMES[14]]).tolist()))
    return {17: many, 14: dict(many, annotations=rows, categories=[dict(id=1, keypoints=NAMES[14])])}


def exchange(*pairs):
    """Exchange columns of keypoints."""

    def change(points, boxes, images, names):
        for pair in pairs:
            one, other = (names.index(name) for name in pair)
            points[:, [one, other]] = points[:, [other, one]]

    return change


def sides(*joints):
    """Exchange left and right of joints."""
    return exchange(*((f"left_{joint}", f"right_{joint}") for joint in joints))


def move(function):
    """Move the labelled keypoints: a function of points (N, K, 2), corners and sizes of boxes, and images (N, 1, 2)."""

    def change(points, boxes, images, names):
        moved = function(points[..., :2], boxes[:, None, :2], boxes[:, None, 2:], images[:, None])
        points[..., :2] = np.where(points[..., 2:] > 0, moved, points[..., :2])

    return change


def reorder(order):
    return lambda points, *_: np.copyto(points, points[..., order])


def add(function):
    """Add to the boxes (N, 4)."""
    return lambda points, boxes, *_: np.add(boxes, function(boxes[:, :2], boxes[:, 2:]), out=boxes)


LEFT, RIGHT = ("left_wrist", "left_ankle"), ("right_wrist", "right_ankle")
JOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
FAULTS = {
    **{f"left and right {joint}": (sides(joint), "flip_pair_exchanged", f"{joint} in the") for joint in JOINTS},
    "both arms": (sides("shoulder", "elbow", "wrist"), "flip_pair_exchanged", ""),
    "left wrist and ankle": (exchange(LEFT), "keypoint_order", "left_wrist with left_ankle"),
    "wrists and ankles": (exchange(LEFT, RIGHT), "keypoint_order", "left_wrist with left_ankle and right_wrist with"),
    "left hip and knee": (exchange(("left_hip", "left_knee")), "flip_pair_distances", ""),
    "0 to 1 of the image": (move(lambda p, corner, box, image: p / image), "label_scale", "by the image's width"),
    "0 to 1 of the box": (move(lambda p, corner, box, image: (p - corner) / box), "label_scale", "0 to 1 of the box"),
    "of the crop": (move(lambda p, corner, box, image: p - corner), "label_scale", "add the corner of the box"),
    "of an image of half the size": (move(lambda p, *_: p / 2), "label_scale", "after a multiplication by 2"),
    "y, x, v": (reorder([1, 0, 2]), "label_scale", "exchange x and y"),
    "x, v, y": (reorder([0, 2, 1]), "keypoint_columns", "fit as x, v, y"),
    "v, x, y": (reorder([2, 0, 1]), "keypoint_columns", "fit as v, x, y"),
    "boxes with their centre": (add(lambda corner, size: np.hstack([size / 2, 0 * size])), "bbox_format", "the centre"),
    "boxes as x1, y1, x2, y2": (add(lambda corner, size: np.hstack([0 * size, corner])), "bbox_format", "as [x1, y1"),
}


def check(content, change=None, number=17):
    """The faults after a change of keypoints (N, K, 3) and boxes (N, 4)."""
    content = dict(content, annotations=copy.deepcopy(content["annotations"]))
    rows, sizes = content["annotations"], {image["id"]: image for image in content["images"]}
    points = np.array([row["keypoints"] for row in rows], float).reshape(len(rows), -1, 3)
    boxes = np.array([row["bbox"] for row in rows], float)
    images = np.array([[sizes[row["image_id"]][side] for side in ("width", "height")] for row in rows], float)
    if change:
        change(points, boxes, images, NAMES[number])
    for row, keypoints, box in zip(rows, points, boxes):
        row.update(keypoints=keypoints.ravel().tolist(), bbox=box.tolist())
    found = inspect_annotations(content, "file.json", number)
    return dict(check_labels(found.instances, found.skipped, METAINFO[number], content["categories"]))


@pytest.mark.parametrize("number", [17, 14])
def test_faults_of_all_rows_are_findings_of_the_file(contents, number):
    assert check(contents[number], number=number) == {}
    for name, (change, expected, words) in FAULTS.items():
        faults = check(contents[number], change, number)
        assert expected in faults, name
        assert number == 14 or words in faults[expected]
        assert expected != "flip_pair_exchanged" or len(faults) == 1


def test_mirrored_faces_are_found_but_not_in_turned_images(contents):
    everything = sides(*(name[5:] for name in NAMES[17] if name.startswith("left_")))
    assert set(check(contents[17], everything)) == {"faces_mirrored"}
    assert "faces_mirrored" in check(contents[17], sides("eye"))

    for lowest, highest in ((0, 6), (2.5, 3.8)):  # in all directions, and with the heads down

        def turn(points, *_, angles=(lowest, highest)):
            for angle, instance in zip(np.linspace(*angles, len(points)), points):
                matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                middle = instance[:, :2].mean(0)
                instance[:, :2] = (instance[:, :2] - middle) @ matrix.T + middle

        assert not {"faces_mirrored", "flip_pair_exchanged"} & set(check(contents[17], turn))


def test_a_pair_alone_has_no_distances_to_compare(contents):
    names = [NAMES[17][index] for index in (5, 6)]
    info = {i: dict(name=name, id=i, swap=names[1 - i]) for i, name in enumerate(names)}
    links = {0: dict(link=tuple(names), id=0)}
    weights = dict(joint_weights=[1, 1], sigmas=[0.05, 0.05])
    described = dict(weights, dataset_name="two", keypoint_info=info, skeleton_info=links)
    rows = [dict(row, keypoints=row["keypoints"][15:21]) for row in contents[17]["annotations"]]
    found = inspect_annotations(dict(contents[17], annotations=rows), "a.json", 2)
    assert list(check_labels(found.instances, found.skipped, parse(described), [])) == []


def test_few_and_unused_rows_are_not_counted(contents):
    rows = contents[17]["annotations"]
    few = dict(contents[17], annotations=rows[: MIN_ROWS - 1])
    for name in ("left and right wrist", "0 to 1 of the image", "x, v, y", "boxes as x1, y1, x2, y2"):
        assert not check(few, FAULTS[name][0])
    unlabelled = {key: value for key, value in rows[0].items() if key != "num_keypoints"}
    content = dict(contents[17], annotations=[dict(unlabelled, keypoints=[1.0, 2.0, 0.0] * 17), *rows[1:]])
    change, name, words = FAULTS["of an image of half the size"]
    assert words in check(content, change)[name]
    found = inspect_annotations(contents[17], "file.json", 17).instances
    found.points[:, [11, 12]] = found.points[:, [12, 11]]
    assert list(check_labels(found, (), METAINFO[17], []))
    assert not list(check_labels(found, found.index, METAINFO[17], []))  # a training leaves them out


def changed_metainfo(swaps, **replaced):
    metainfo = copy.deepcopy(dict(LSPET, **replaced))
    for index, swap in swaps.items():
        metainfo["keypoint_info"][index]["swap"] = swap
    return parse(metainfo)


def contradictions(swaps, categories=(), **replaced):
    return dict(check_metainfo(changed_metainfo(swaps, **replaced), categories))


def test_a_wrong_flip_pair_of_the_metainfo_is_seen_in_the_data(contents):
    metainfo = changed_metainfo({3: "left_knee", 4: "left_hip", 1: "right_hip", 2: "right_knee"})
    rows = inspect_annotations(contents[14], "file.json", 14).instances
    details = [detail for name, detail in check_labels(rows, (), metainfo, []) if name == "flip_pair_distances"]
    assert len(details) == 2
    assert details[0].startswith("right_knee and right_hip of a flip pair should be equally far")


def test_flip_pairs_by_name():
    assert contradictions({}) == {}
    wrong = contradictions({3: "left_knee", 4: "left_hip", 1: "", 2: ""})
    assert "should pair left_knee with right_knee, but pairs it with left_hip" in wrong["flip_pair_names"]
    alone = contradictions({5: "", 0: ""})
    assert "should pair left_ankle with right_ankle, but pairs it with left_ankle" in alone["flip_pair_names"]
    assert "flip_pair_one_sided" not in alone
    half = contradictions({0: ""})
    assert "should swap right_ankle with left_ankle, as left_ankle with right_ankle" in half["flip_pair_one_sided"]
    mirrored = dict(left_hip="right_hip", hip_r="hip_l", upper_body="upper_body", l_eye2="r_eye2", bright="bright")
    assert {name: mirror_name(name) for name in mirrored} == mirrored


def test_wrong_sigmas():
    for sigmas, words in (
        ([0.1] * 13, "should have 14 sigmas, but has 13"),
        ([0.1] * 13 + [0.0], "that of head_top is 0"),
        ([float("nan")] + [0.1] * 13, "that of right_ankle is nan"),
        ([8.9] + [0.1] * 13, "that of right_ankle is 8.9"),
        ([0.04] + [0.1] * 13, "right_ankle has 0.04 and left_ankle 0.1"),
    ):
        assert words in contradictions({}, sigmas=sigmas)["sigmas"]


def test_names_in_the_file():
    """Another order is a contradiction, synonyms are not."""
    names = list(NAMES[14])
    synonyms = [*(name.title().replace("_", " ") for name in names[:13]), "top of head"]
    assert contradictions({}, [dict(id=1, keypoints=synonyms)]) == {}
    names[2], names[9] = names[9], names[2]
    details = contradictions({}, [dict(id=1, keypoints=names)])
    assert "keypoint 2 is left_shoulder in the file and right_hip in the metainfo" in details["keypoint_names"]


def test_the_metainfo_of_mmpose():
    """No false alarm; the contradictions are in these files."""
    folder = Path(mmpose.__path__[0]) / ".mim/configs/_base_/datasets"
    found = {path.stem: dict(check_metainfo(parse(dict(from_file=str(path))), [])) for path in folder.glob("*.py")}
    wrong = {name: {"sigmas"} for name in ("atrw", "coco_openpose", "coco_wholebody_openpose")}
    wrong["deepfashion2"] = {"flip_pair_one_sided"}
    assert {name: set(faults) for name, faults in found.items() if faults} == wrong

"""Contradictions of a metainfo."""

from __future__ import annotations

import copy
from pathlib import Path

import mmpose
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from tests.datasets.checks.conftest import LSPET, parse
from tfpose_mm.datasets.checks.instances import read_keypoints
from tfpose_mm.datasets.checks.labels import check_labels
from tfpose_mm.datasets.checks.metainfo import check_metainfo, mirror_name


def found(changes, content=None, **replaced):
    metainfo = copy.deepcopy(dict(LSPET, **replaced))
    for index, change in changes.items():
        metainfo["keypoint_info"][index].update(change)
    return {f.check: f.detail for f in check_metainfo(parse(metainfo), content or {}, "file.json")}


def test_a_correct_metainfo_has_no_contradiction():
    assert found({}) == {}


def test_a_wrong_flip_pair():
    """left_hip is paired with left_knee."""
    wrong = {3: dict(swap="left_knee"), 4: dict(swap="left_hip"), 1: dict(swap=""), 2: dict(swap="")}
    details = found(wrong)
    assert set(details) == {"flip_pair_names", "links_not_mirrored"}
    assert "has a link right_ankle to right_knee and none right_knee to left_ankle" in details["links_not_mirrored"]


def test_a_wrong_flip_pair_is_also_seen_in_the_data(many_lspet):
    metainfo = copy.deepcopy(LSPET)
    for index, swap in {3: "left_knee", 4: "left_hip", 1: "right_hip", 2: "right_knee"}.items():
        metainfo["keypoint_info"][index]["swap"] = swap
    findings, _ = check_labels(many_lspet, parse(metainfo), "file.json")
    details = [f.detail for f in findings if f.check == "flip_pair_distances"]
    assert len(details) == 2
    assert details[0].startswith("right_knee and right_hip of a flip pair should be equally far")


def test_a_missing_partner():
    details = found({5: dict(swap=""), 0: dict(swap="")})
    assert details["flip_pair_names"].startswith(
        "the metainfo should pair left_ankle with right_ankle, but it has no swap"
    )


@pytest.mark.parametrize(
    ("sigmas", "words"),
    [
        ([0.1] * 13, "should have 14 sigmas, but has 13"),
        ([0.1] * 13 + [0.0], "that of head_top is 0"),
        ([0.1] * 13 + [-0.1], "that of head_top is -0.1"),
        ([float("nan")] + [0.1] * 13, "that of right_ankle is nan"),
        ([8.9] + [0.1] * 13, "that of right_ankle is 8.9"),
        ([0.04] + [0.1] * 13, "right_ankle has 0.04 and left_ankle 0.1"),
    ],
)
def test_wrong_sigmas(sigmas, words):
    assert words in found({}, sigmas=sigmas)["sigmas"]


def test_another_order_of_the_names_in_the_file():
    names = [LSPET["keypoint_info"][index]["name"] for index in range(14)]
    names[2], names[9] = names[9], names[2]
    details = found({}, dict(categories=[dict(id=1, keypoints=names)]))
    assert "keypoint 2 is left_shoulder in the file and right_hip in the metainfo" in details["keypoint_names"]


def test_synonyms_in_the_file_are_no_contradiction():
    names = [LSPET["keypoint_info"][index]["name"].title().replace("_", " ") for index in range(13)] + ["top of head"]
    assert found({}, dict(categories=[dict(id=1, keypoints=names)])) == {}


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("left_hip", "right_hip"),
        ("Hip-R", "hip-l"),
        ("upper_body", "upper_body"),
        ("L_Eye2", "r_eye2"),
        ("bright", "bright"),
    ],
)
def test_mirrored_names(name, mirrored):
    assert mirror_name(name) == mirrored


def test_the_metainfo_of_mmpose():
    """No false alarm in names; the other contradictions are in these files."""
    folder = Path(mmpose.__path__[0]) / ".mim/configs/_base_/datasets"
    contradictions = {}
    for path in sorted(folder.glob("*.py")):
        keypoints = read_keypoints(parse_pose_metainfo(dict(from_file=str(path))))
        for finding in check_metainfo(keypoints, {}, path.stem):
            contradictions.setdefault(finding.check, set()).add(path.stem)
    assert contradictions == {
        "links_not_mirrored": {"deepfashion2", "ubody3d"},
        "sigmas": {"atrw", "coco_openpose", "coco_wholebody_openpose"},
    }

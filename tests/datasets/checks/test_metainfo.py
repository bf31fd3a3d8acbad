"""Contradictions of a metainfo."""

from __future__ import annotations

import copy
from pathlib import Path

import mmpose
import pytest

from tests.datasets.checks.conftest import LSPET, parse
from tfpose_mm.datasets.checks.metainfo import check_metainfo, mirror_name


def found(changes, categories=None, **replaced):
    metainfo = copy.deepcopy(dict(LSPET, **replaced))
    for index, change in changes.items():
        metainfo["keypoint_info"][index].update(change)
    return {f.check: f.detail for f in check_metainfo(parse(metainfo), categories, "file.json")}


def test_a_correct_metainfo_has_no_contradiction():
    assert found({}) == {}


def test_a_wrong_flip_pair():
    """left_hip is paired with left_knee."""
    wrong = {3: dict(swap="left_knee"), 4: dict(swap="left_hip"), 1: dict(swap=""), 2: dict(swap="")}
    details = found(wrong)
    assert set(details) == {"flip_pair_names", "links_not_mirrored"}
    assert "has a link right_ankle to right_knee and none right_knee to left_ankle" in details["links_not_mirrored"]


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
    details = found({}, [dict(id=1, keypoints=names)])
    assert "keypoint 2 is left_shoulder in the file and right_hip in the metainfo" in details["keypoint_names"]


def test_synonyms_in_the_file_are_no_contradiction():
    names = [LSPET["keypoint_info"][index]["name"].title().replace("_", " ") for index in range(13)] + ["top of head"]
    assert found({}, [dict(id=1, keypoints=names)]) == {}


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
        for finding in check_metainfo(parse(dict(from_file=str(path))), None, path.stem):
            contradictions.setdefault(finding.check, set()).add(path.stem)
    assert contradictions == {
        "links_not_mirrored": {"deepfashion2", "ubody3d"},
        "sigmas": {"atrw", "coco_openpose", "coco_wholebody_openpose"},
    }

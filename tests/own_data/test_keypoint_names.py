"""What is inferred from the names of keypoints."""

from __future__ import annotations

import re
from pathlib import Path

import mmpose
import pytest
from mmengine.config import Config

from tfpose_mm.own_data.keypoint_names import infer_keypoints

METAINFO = Path(mmpose.__file__).parent / ".mim/configs/_base_/datasets"


PAIRS = """left_eye/right_eye, Left Eye/Right Eye, EyeLeft/EyeRight, lefteye/righteye, l_eye/r_eye, eye_l/eye_r
L.Eye/R.Eye, eyeL/eyeR, lEye2/rEye2, 2_eye_L/2_eye_R, left_eye_left_corner/right_eye_right_corner
linkes_Auge_links/linkes_Auge_rechts, épaule gauche/épaule droite, 左眼/右眼"""


def pairs(names, **options):
    keypoints = infer_keypoints(names, **options)
    return {keypoint.name: keypoint.swap for keypoint in keypoints if keypoint.swap}


def test_pairs_are_found():
    for left, right in (pair.split("/") for pair in re.split(r", |\n", PAIRS)):
        keypoints = infer_keypoints(["nose", right, left, "tail"])
        assert [keypoint.swap for keypoint in keypoints] == ["", left, right, ""]
        assert [keypoint.doubt for keypoint in keypoints] == [""] * 4


def test_uncertain_pairs():
    """A letter in a word, and a keypoint without its partner."""
    for left, right in (("leye", "reye"), ("LEYE", "REYE"), ("wheel_fl", "wheel_fr")):
        keypoints = infer_keypoints([left, right])
        assert [keypoint.swap for keypoint in keypoints] == [right, left]
        assert {keypoint.doubt for keypoint in keypoints} == {"the pair is inferred from one letter"}
    keypoints = infer_keypoints(["left_ear", "bright_spot", "handle", "upright"])
    assert [keypoint.swap for keypoint in keypoints] == [""] * 4
    doubt = "the name has 'left', but there is no keypoint on the other side"
    assert [keypoint.doubt for keypoint in keypoints] == [doubt, "", "", ""]


def test_each_pair_has_both_directions():
    assert pairs(["fl", "fr", "rl", "rr"]) == dict(fl="fr", fr="fl", rl="rr", rr="rl")  # wheels of a car
    found = pairs(["left_eye", "l_eye", "right_eye", "leftEye"])
    assert all(found[other] == name for name, other in found.items())


def test_sides_and_flip_indices_of_the_data():
    assert [keypoint.side for keypoint in infer_keypoints(["nose", "lEye", "rEye"])] == ["", "left", "right"]
    names = [f"keypoint_{index}" for index in range(3)]
    assert pairs(names, flip_indices=[0, 2, 1]) == dict(keypoint_1="keypoint_2", keypoint_2="keypoint_1")
    assert {keypoint.doubt for keypoint in infer_keypoints(names)} == {"the keypoint has no name, only a number"}


@pytest.mark.parametrize("name", ["coco", "mpii_trb", "halpe26", "interhand3d", "fly", "zebra", "horse10"])
def test_pairs_of_mmpose_s_data_sets(name):
    info = Config.fromfile(METAINFO / f"{name}.py").dataset_info.keypoint_info.values()
    assert pairs([keypoint["name"] for keypoint in info]) == {
        keypoint["name"]: keypoint["swap"] for keypoint in info if keypoint["swap"]
    }


def test_sigmas_and_halves_of_coco():
    info = Config.fromfile(METAINFO / "coco.py").dataset_info
    keypoints = infer_keypoints([keypoint["name"] for keypoint in info.keypoint_info.values()])
    assert [keypoint.sigma for keypoint in keypoints] == info.sigmas
    assert [keypoint.half for keypoint in keypoints] == [keypoint["type"] for keypoint in info.keypoint_info.values()]
    other = infer_keypoints(["lelbow", "relbow", "handle", "hip_screw", "near"])
    assert [keypoint.sigma for keypoint in other] == [0.072, 0.072, 0.05, 0.05, 0.05]
    assert [keypoint.known_sigma for keypoint in other] == [True, True, False, False, False]

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


def inferred(what, names, **options):
    """An attribute of each keypoint."""
    return [getattr(keypoint, what) for keypoint in infer_keypoints(names, **options)]


def test_pairs_are_found():
    for left, right in (pair.split("/") for pair in re.split(r", |\n", PAIRS)):
        names = ["nose", right, left, "tail"]
        assert inferred("swap", names) == ["", left, right, ""]
        assert inferred("doubt", names) == [""] * 4


def test_uncertain_pairs():
    """A letter in a word, a keypoint without its partner, and names that are only numbers."""
    for left, right in (("leye", "reye"), ("LEYE", "REYE"), ("wheel_fl", "wheel_fr")):
        assert inferred("swap", [left, right]) == [right, left]
        assert inferred("doubt", [left, right]) == ["the pair is inferred from one letter"] * 2
    names = ["left_ear", "bright_spot", "handle", "upright"]
    assert inferred("swap", names) == [""] * 4
    assert inferred("doubt", names) == ["the name has 'left', but there is no keypoint on the other side", "", "", ""]
    names = [f"keypoint_{index}" for index in range(3)]
    assert set(inferred("doubt", names)) == {"the keypoint has no name, only a number"}
    assert inferred("swap", names, flip_indices=[0, 2, 1]) == ["", "keypoint_2", "keypoint_1"]


def test_each_pair_has_both_directions():
    assert inferred("swap", ["fl", "fr", "rl", "rr"]) == ["fr", "fl", "rr", "rl"]  # wheels of a car
    names = ["left_eye", "l_eye", "right_eye", "leftEye"]
    found = {name: swap for name, swap in zip(names, inferred("swap", names)) if swap}
    assert all(found[other] == name for name, other in found.items())


@pytest.mark.parametrize("name", ["mpii_trb", "halpe26", "interhand3d", "fly", "zebra", "horse10"])
def test_pairs_of_mmpose_s_data_sets(name):
    info = Config.fromfile(METAINFO / f"{name}.py").dataset_info.keypoint_info.values()
    assert inferred("swap", [keypoint["name"] for keypoint in info]) == [keypoint["swap"] for keypoint in info]


def test_sides_and_sigmas():
    """Those of COCO's names are tested in the config that init writes."""
    assert inferred("side", ["nose", "lEye", "rEye"]) == ["", "left", "right"]
    names = ["lelbow", "relbow", "handle", "hip_screw", "near"]
    assert inferred("sigma", names) == [0.072, 0.072, 0.05, 0.05, 0.05]
    assert inferred("known_sigma", names) == [True, True, False, False, False]

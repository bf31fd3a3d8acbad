"""A 3D skeleton of a body in a random pose.

Axes: x to the right of the image, y down, z towards the camera. Lengths are fractions of the body height. The origin is
the pelvis.
A body that faces the camera has its left side at positive x.
"""

from __future__ import annotations

import functools

import numpy as np

Joints = dict[str, np.ndarray]

COCO_KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip

_DOWN = np.array([0.0, 1.0, 0.0])
_FORWARD = np.array([0.0, 0.0, 1.0])
# positions in the frame of the torso, or of the head
_TORSO = {
    "neck": (0, -0.30, 0),
    "chest_front": (0, -0.20, 0.05),
    "chest_back": (0, -0.20, -0.05),
    "belly_front": (0, -0.04, 0.045),
    "belly_back": (0, -0.04, -0.045),
    "pack": (0, -0.18, -0.09),
    "left_shoulder": (0.105, -0.275, 0),
    "right_shoulder": (-0.105, -0.275, 0),
}
_HEAD = {
    "head": (0, -0.085, 0.01),
    "crown": (0, -0.12, -0.005),
    "nape": (0, -0.075, -0.02),
    "face": (0, -0.075, 0.03),
    "nose": (0, -0.075, 0.065),
    "mouth": (0, -0.045, 0.055),
    "left_eye": (0.026, -0.097, 0.053),
    "right_eye": (-0.026, -0.097, 0.053),
    "left_ear": (0.058, -0.082, 0.005),
    "right_ear": (-0.058, -0.082, 0.005),
}
_UPPER_ARM, _FOREARM, _HAND = 0.165, 0.145, 0.03
_HIP, _THIGH, _SHIN, _FOOT = 0.055, 0.235, 0.235, 0.08


def sample_joints(rng: np.random.Generator) -> Joints:
    """Sample a pose.

    Returns:
        The 17 COCO keypoints and the points to which clothes and face are attached, each (3,), in the axes of this
        module. The vectors ``facing`` (of the torso) and ``gaze`` (of the head) have length 1.
    """

    def angle(low: float, high: float) -> float:  # of degrees
        return np.deg2rad(rng.uniform(low, high))

    facing = angle(-25, 25) + (np.pi if rng.random() < 0.4 else 0.0)
    pelvis = _rot_z(angle(-5, 5)) @ _rot_y(facing)
    torso = pelvis @ _rot_y(angle(-10, 10)) @ _rot_x(-angle(-3, 8)) @ _rot_z(angle(-8, 8))
    joints = {name: torso @ np.array(point) for name, point in _TORSO.items()}
    head = torso @ _rot_y(angle(-10, 10)) @ _rot_x(angle(-5, 5)) @ _rot_z(angle(-2.5, 2.5))
    joints.update({name: joints["neck"] + head @ np.array(point) for name, point in _HEAD.items()})
    joints["facing"], joints["gaze"] = torso @ _FORWARD, head @ _FORWARD

    for side, sign in (("left", 1.0), ("right", -1.0)):
        upper = torso @ _rot_z(-sign * angle(5, 70)) @ _rot_x(angle(-15, 25))
        lower = upper @ _rot_y(sign * angle(-60, 30)) @ _rot_x(angle(0, 45))
        joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] + _UPPER_ARM * (upper @ _DOWN)
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + _FOREARM * (lower @ _DOWN)
        joints[f"{side}_hand"] = joints[f"{side}_wrist"] + _HAND * (lower @ _DOWN)

        thigh = pelvis @ _rot_z(-sign * angle(0, 18)) @ _rot_x(angle(-20, 30))
        shin = thigh @ _rot_x(-angle(0, 30))
        joints[f"{side}_hip"] = pelvis @ np.array([sign * _HIP, 0.02, 0])
        joints[f"{side}_knee"] = joints[f"{side}_hip"] + _THIGH * (thigh @ _DOWN)
        joints[f"{side}_ankle"] = joints[f"{side}_knee"] + _SHIN * (shin @ _DOWN)
        joints[f"{side}_toe"] = joints[f"{side}_ankle"] + shin @ np.array([0, 0.025, _FOOT])
    return joints


def _rotation(axis: int, angle: float) -> np.ndarray:
    """Rotate about x (down moves forward), y (forward moves to positive x) or z (clockwise in the image)."""
    matrix, first, second = np.eye(3), (axis + 1) % 3, (axis + 2) % 3
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


_rot_x, _rot_y, _rot_z = (functools.partial(_rotation, axis) for axis in range(3))

"""A dressed person: clothes on a skeleton, drawn part by part from far to near."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from .canvas import Canvas, Colour
from .skeleton import COCO_KEYPOINTS, Joints


class _Bone(NamedTuple):
    """How a bone is drawn; lengths in body heights."""

    start: str
    end: str
    radii: tuple[float, float]
    cloth: str  # of the outfit
    covered: str  # of the outfit: how many of the limb's two bones the cloth covers
    order: int  # 0 or 1: which of the limb's two bones it is
    farthest: str  # joint whose depth is averaged with that of the start
    tip: tuple[str, list[float], str] | None = None  # hand or foot: its joint, radii at both ends, colour of the outfit


_FOOT, _HAND = ("toe", [0.028, 0.02], "shoes"), ("hand", [0.022, 0.027], "skin")
_BONES = {  # at equal depth the bones are drawn in this order
    "thigh": _Bone("hip", "knee", (0.06, 0.044), "trousers", "trouser_leg", 0, "knee"),
    "shin": _Bone("knee", "ankle", (0.041, 0.028), "trousers", "trouser_leg", 1, "ankle", _FOOT),
    "upper_arm": _Bone("shoulder", "elbow", (0.042, 0.032), "shirt", "sleeve", 0, "elbow"),
    "forearm": _Bone("elbow", "wrist", (0.031, 0.023), "shirt", "sleeve", 1, "hand", _HAND),
}
_SIDES = ("left", "right")
PARTS = ("torso", "pelvis", "head", "pack", *(f"{side}_{part}" for side in _SIDES for part in _BONES))
OWNERS = {part: number for number, part in enumerate(PARTS, start=2)}  # after NOTHING and OBJECT
_SKIN = ((130, 165, 225), (105, 140, 200), (75, 110, 170), (50, 80, 130), (35, 55, 90))
_HAIR = ((25, 25, 30), (30, 50, 80), (50, 95, 130), (90, 170, 210), (150, 150, 150))

# a keypoint is visible if its pixel shows one of these parts, otherwise it is hidden
_SEEN_ON = {
    "shoulder": ("torso", "upper_arm", "pack"),
    "elbow": ("upper_arm", "forearm"),
    "wrist": ("forearm",),
    "hip": ("pelvis", "thigh", "torso"),
    "knee": ("thigh", "shin"),
    "ankle": ("shin",),
}
# a feature of the head is seen if it is nearer to the camera than the head's centre by more than this, in body heights
_SEEN_FROM = {"nose": 0.01, "eye": 0.012, "ear": -0.02}


def sample_outfit(rng: np.random.Generator) -> dict[str, Any]:
    """Sample colours, and how many of the two bones of arms and legs the clothes cover (0 to 2)."""
    skin, hair = _SKIN[rng.integers(len(_SKIN))], _HAIR[rng.integers(len(_HAIR))]
    cloths = {}
    for name in ("shirt", "trousers", "shoes"):
        rng.random()  # not used: the images stay those of earlier versions
        cloths[name] = tuple(map(float, rng.uniform(15, 245, 3)))
    return dict(
        cloths,
        skin=skin,
        hair=hair,
        trim=tuple(map(float, rng.uniform(0, 255, 3))),
        sleeve=float(rng.choice([0.0, 0.5, 0.6, 2.0])),
        trouser_leg=float(rng.choice([0.5, 0.9, 2.0, 2.0])),
        long_hair=rng.random() < 0.35,
        striped=rng.random() < 0.2,
        backpack=rng.random() < 0.1,
    )


class Person:
    """A person with a pose, clothes and a position in the image.

    Args:
        joints: The skeleton, in body heights.
        outfit: The clothes, from :func:`sample_outfit`.
        height: Body height, in pixels.
        pelvis: (x, y) of the pelvis, in pixels.
    """

    def __init__(self, joints: Joints, outfit: dict[str, Any], height: float, pelvis: tuple[float, float]) -> None:
        self.outfit, self.height = outfit, height
        self.facing, self.gaze = joints["facing"], joints["gaze"]
        self.depth = {name: float(point[2]) for name, point in joints.items()}
        self.joints = {name: point[:2] * height + np.asarray(pelvis) for name, point in joints.items()}

    @property
    def keypoints(self) -> np.ndarray:
        """(17, 2), (x, y) in pixels, in COCO's order."""
        return np.stack([self.joints[name] for name in COCO_KEYPOINTS])

    def visibility(self, canvas: Canvas) -> np.ndarray:
        """Visibility of each keypoint on the finished scene, as in COCO, (17,) int.

        2: visible. 1: labelled, but hidden by a limb or an object. 0: not labelled, because it is on a face that is
        turned away: annotators do not label these either.
        """
        return np.array([self._see(name, canvas.owner) for name in COCO_KEYPOINTS])

    def _see(self, name: str, owner: np.ndarray) -> int:
        side, _, joint = name.rpartition("_")
        if joint in _SEEN_FROM and not self._turned_here(name):
            return 0
        x, y = (round(float(value)) for value in self.joints[name])
        parts = ("head",) if joint in _SEEN_FROM else _SEEN_ON[joint]
        return 2 if owner[y, x] in [OWNERS.get(f"{side}_{part}", OWNERS.get(part)) for part in parts] else 1

    def _turned_here(self, feature: str) -> bool:
        """Whether a feature of the head is on the side that the camera sees."""
        return self.depth[feature] - self.depth["head"] > _SEEN_FROM[feature.rpartition("_")[2]]

    def draw(self, canvas: Canvas) -> None:
        """Draw all parts on a scene, the farthest first."""
        jobs: list[tuple] = []  # depth, function, arguments
        for side, (part, bone) in itertools.product(_SIDES, _BONES.items()):
            depth = self._middle(f"{side}_{bone.start}", f"{side}_{bone.farthest}") + 0.005 * (part == "forearm")
            jobs.append((depth, self._draw_bone, side, part))
        torso = self._middle("neck", "left_hip", "right_hip")
        jobs += [(torso + 0.01, self._draw_torso), (self.depth["head"] + 0.005, self._draw_head)]
        if self.outfit["backpack"]:
            jobs.append((self.depth["pack"] + 0.01, self._draw_backpack))
        for _, draw_part, *arguments in sorted(jobs, key=lambda job: job[0]):
            draw_part(canvas, *arguments)

    def _middle(self, *names: str) -> float:
        return sum(self.depth[name] for name in names) / len(names)

    def _px(self, *lengths: float) -> np.ndarray:
        return np.array(lengths) * self.height

    def _lit(self, cloth: str, *names: str) -> Colour:
        """A colour of the outfit, changed by depth: near parts are brighter."""
        light = float(np.clip(1 + 1.2 * self._middle(*names), 0.65, 1.25))
        return tuple(min(255.0, light * channel) for channel in self.outfit[cloth])

    def _draw_bone(self, canvas: Canvas, side: str, part: str) -> None:
        """Draw a bone: skin, cloth on the part next to its start, and its hand or foot."""
        bone, owner = _BONES[part], OWNERS[f"{side}_{part}"]
        ends = (f"{side}_{bone.start}", f"{side}_{bone.end}")
        start, end = (self.joints[name] for name in ends)
        near, far = self._px(*bone.radii)
        covered = float(np.clip(self.outfit[bone.covered] - bone.order, 0, 1))
        if covered < 1:
            canvas.hull([start, end], [near, far], self._lit("skin", *ends), owner)
        if covered > 0:
            middle, radius = start + covered * (end - start), near + covered * (far - near)
            canvas.hull([start, middle], [1.08 * near, 1.12 * radius], self._lit(bone.cloth, *ends), owner)
        if bone.tip is not None:
            joint, radii, colour = f"{side}_{bone.tip[0]}", *bone.tip[1:]
            canvas.hull([end, self.joints[joint]], self._px(*radii), self._lit(colour, joint), owner)

    def _draw_torso(self, canvas: Canvas) -> None:
        j, trim = self.joints, self.outfit["trim"]
        hips = [j["left_hip"], j["right_hip"]]
        canvas.hull(hips, self._px(0.055), self._lit("trousers", "left_hip"), OWNERS["pelvis"])
        shoulders = [j["left_shoulder"], j["right_shoulder"]]
        hem = [0.8 * hip + 0.2 * shoulder for hip, shoulder in zip(hips, shoulders)]  # the shirt ends above the hip
        outline = [*shoulders, *hem, *(j[f"{part}_{end}"] for part in ("chest", "belly") for end in ("front", "back"))]
        radii = self._px(0.04, 0.04, 0.055, 0.055, 0.035, 0.035, 0.04, 0.04)
        canvas.hull(outline, radii, self._lit("shirt", "neck", "left_hip", "right_hip"), OWNERS["torso"])
        if self.outfit["striped"]:
            for t in (0.25, 0.5, 0.75):
                ends = [(1 - t) * shoulder + t * hip for shoulder, hip in zip(shoulders, hips)]
                canvas.line(ends, trim, 0.025 * self.height)
        if self.facing[2] > 0.15:  # a line on the shirt marks the front
            canvas.line([0.7 * j["neck"] + 0.3 * j["chest_front"], j["belly_front"]], trim, 0.012 * self.height)

    def _draw_backpack(self, canvas: Canvas) -> None:
        corners = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
        points = [0.5 * self.joints["pack"] + 0.5 * self.joints[name] for name in corners]
        canvas.hull(points, self._px(0.04), self._lit("trim", "pack"), OWNERS["pack"])

    def _draw_head(self, canvas: Canvas) -> None:
        j, long_hair, away = self.joints, self.outfit["long_hair"], self.gaze[2] < -0.1
        hair, skin = self._lit("hair", "head"), self._lit("skin", "head")

        def fill(points: list[np.ndarray], *radii: float, colour: Colour, outline: bool = True) -> None:
            canvas.hull(points, self._px(*radii), colour, OWNERS["head"], outline)

        fill([j["neck"], j["head"]], 0.03, colour=self._lit("skin", "neck"))
        if long_hair and not away:
            fill([j["crown"], j["nape"], j["neck"]], 0.06, colour=hair)
        fill([j["crown"], j["nape"]], 0.062, 0.055, colour=hair)
        if not away:
            fill([j["face"], j["mouth"]], 0.05, 0.035, colour=skin, outline=False)
        for ear in ("left_ear", "right_ear"):
            if self._turned_here(ear):
                fill([j[ear]], 0.016, colour=skin)
        if long_hair and away:
            fill([j["crown"], j["nape"], 0.6 * j["neck"] + 0.4 * j["chest_back"]], 0.06, colour=hair)
        for eye in ("left_eye", "right_eye"):
            if self._turned_here(eye):
                fill([j[eye]], 0.018, colour=(240, 240, 240), outline=False)
                fill([j[eye]], 0.01, colour=(40, 30, 20), outline=False)
        if self._turned_here("nose"):
            shade = tuple(0.55 * channel for channel in skin)
            fill([0.5 * (j["left_eye"] + j["right_eye"]), j["nose"]], 0.005, 0.015, colour=shade, outline=False)
            fill([j["mouth"]], 0.011, colour=(60, 60, 150), outline=False)

"""A dressed person: clothes on a skeleton, drawn part by part from far to near."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Callable, NamedTuple

import numpy as np

from .canvas import Canvas, Colour
from .skeleton import COCO_KEYPOINTS, Joints


class Tip(NamedTuple):
    """The end of a limb: a hand or a foot."""

    joint: str
    radii: tuple[float, float]  # in body heights, at the bone's end and at the joint
    colour: str  # of the outfit


class Bone(NamedTuple):
    """How a bone is drawn; lengths in body heights."""

    start: str
    end: str
    radii: tuple[float, float]
    cloth: str  # of the outfit
    covered: str  # of the outfit: how many of the limb's two bones the cloth covers
    order: int  # 0 or 1: which of the limb's two bones it is
    farthest: str  # joint whose depth is averaged with that of the start
    nearer: float = 0.0  # added to the depth: a higher value is drawn later
    tip: Tip | None = None


# at equal depth the bones are drawn in this order
_BONES = {
    "thigh": Bone("hip", "knee", (0.06, 0.044), "trousers", "trouser_leg", 0, "knee"),
    "shin": Bone(
        "knee", "ankle", (0.041, 0.028), "trousers", "trouser_leg", 1, "ankle", tip=Tip("toe", (0.028, 0.02), "shoes")
    ),
    "upper_arm": Bone("shoulder", "elbow", (0.042, 0.032), "shirt", "sleeve", 0, "elbow"),
    "forearm": Bone(
        "elbow", "wrist", (0.031, 0.023), "shirt", "sleeve", 1, "hand", 0.005, Tip("hand", (0.022, 0.027), "skin")
    ),
}
PARTS = ("torso", "pelvis", "head", "pack", *(f"{side}_{part}" for side in ("left", "right") for part in _BONES))
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


@dataclass(frozen=True)
class Outfit:
    """Colours and lengths of one person's clothes."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    trim: Colour
    sleeve: float  # how many of the arm's two bones are covered, 0..2
    trouser_leg: float  # how many of the leg's two bones are covered, 0..2
    long_hair: bool
    striped: bool
    backpack: bool


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Sample the clothes of a person."""

    def cloth() -> Colour:
        rng.random()  # not used: the images stay those of earlier versions
        return tuple(map(float, rng.uniform(15, 245, 3)))

    return Outfit(
        skin=_SKIN[rng.integers(len(_SKIN))],
        hair=_HAIR[rng.integers(len(_HAIR))],
        shirt=cloth(),
        trousers=cloth(),
        shoes=cloth(),
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
        outfit: The clothes.
        height: Body height, in pixels.
        pelvis: (x, y) of the pelvis, in pixels.
    """

    def __init__(self, joints: Joints, outfit: Outfit, height: float, pelvis: tuple[float, float]) -> None:
        self.outfit = outfit
        self.height = height
        self.facing, self.gaze = joints["facing"], joints["gaze"]
        self.depth = {name: float(point[2]) for name, point in joints.items()}
        self.joints = {name: point[:2] * height + np.asarray(pelvis) for name, point in joints.items()}

    @property
    def keypoints(self) -> np.ndarray:
        """(17, 2), (x, y) in pixels, in COCO's order."""
        return np.stack([self.joints[name] for name in COCO_KEYPOINTS])

    def mask(self, canvas: Canvas) -> np.ndarray:
        """(H, W) bool: where the image shows this person."""
        return np.isin(canvas.owner, list(OWNERS.values()))

    def visibility(self, canvas: Canvas) -> np.ndarray:
        """Visibility of each keypoint, as in COCO.

        Args:
            canvas: The finished scene.

        Returns:
            (17,) int. 2: visible. 1: labelled, but hidden by a limb or an object. 0: not labelled,
            because it is outside the image, or on a face that is turned away: annotators do not label these either.
        """
        return np.array([self._see(name, canvas) for name in COCO_KEYPOINTS])

    def _see(self, name: str, canvas: Canvas) -> int:
        owner = canvas.owner_at(self.joints[name])
        if owner is None:
            return 0
        side, _, joint = name.rpartition("_")
        if joint in _SEEN_FROM:
            if not self._turned_here(name):
                return 0
            return 2 if owner == OWNERS["head"] else 1
        seen_on = (OWNERS.get(f"{side}_{part}", OWNERS.get(part)) for part in _SEEN_ON[joint])
        return 2 if owner in seen_on else 1

    def draw(self, canvas: Canvas) -> None:
        """Draw all parts, the farthest first.

        Args:
            canvas: The scene; it is changed in place.
        """
        jobs: list[tuple[float, Callable[[Canvas], None]]] = []
        for side, (part, bone) in itertools.product(("left", "right"), _BONES.items()):
            depth = self._middle(f"{side}_{bone.start}", f"{side}_{bone.farthest}") + bone.nearer
            jobs.append((depth, functools.partial(self._draw_bone, side=side, part=part)))
        torso = self._middle("neck", "left_hip", "right_hip")
        jobs += [(torso + 0.01, self._draw_torso), (self.depth["head"] + 0.005, self._draw_head)]
        if self.outfit.backpack:
            jobs.append((self.depth["pack"] + 0.01, self._draw_backpack))
        for _, draw_part in sorted(jobs, key=lambda job: job[0]):
            draw_part(canvas)

    def _middle(self, *names: str) -> float:
        return sum(self.depth[name] for name in names) / len(names)

    def _px(self, length: float) -> float:
        return length * self.height

    def _lit(self, colour: Colour, *names: str) -> Colour:
        """Change a colour by depth: near parts are brighter."""
        light = float(np.clip(1 + 1.2 * self._middle(*names), 0.65, 1.25))
        return tuple(min(255.0, light * channel) for channel in colour)

    def _draw_bone(self, canvas: Canvas, side: str, part: str) -> None:
        """Draw a bone: skin, cloth on the part next to its start, and its hand or foot."""
        bone, owner, o = _BONES[part], OWNERS[f"{side}_{part}"], self.outfit
        ends = (f"{side}_{bone.start}", f"{side}_{bone.end}")
        start, end = (self.joints[name] for name in ends)
        near, far = (self._px(radius) for radius in bone.radii)
        covered = float(np.clip(getattr(o, bone.covered) - bone.order, 0, 1))
        if covered < 1:
            canvas.hull([start, end], [near, far], self._lit(o.skin, *ends), owner)
        if covered > 0:
            middle, radius = start + covered * (end - start), near + covered * (far - near)
            canvas.hull([start, middle], [1.08 * near, 1.12 * radius], self._lit(getattr(o, bone.cloth), *ends), owner)
        if bone.tip is not None:
            tip = f"{side}_{bone.tip.joint}"
            colour = self._lit(getattr(o, bone.tip.colour), tip)
            canvas.hull([end, self.joints[tip]], [self._px(radius) for radius in bone.tip.radii], colour, owner)

    def _turned_here(self, feature: str) -> bool:
        """Whether a feature of the head is on the side that the camera sees."""
        kind = feature.rpartition("_")[2]
        return self.depth[feature] - self.depth["head"] > _SEEN_FROM[kind]

    def _draw_torso(self, canvas: Canvas) -> None:
        j, o = self.joints, self.outfit
        shirt, names = self._lit(o.shirt, "neck", "left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
        canvas.hull([j["left_hip"], j["right_hip"]], self._px(0.055), self._lit(o.trousers, "left_hip"),
                    OWNERS["pelvis"])  # fmt: skip
        outline = [
            j[n] for n in (*names, "left_hip", "right_hip", "chest_front", "chest_back", "belly_front", "belly_back")
        ]
        radii = [self._px(r) for r in (0.04, 0.04, 0.055, 0.055, 0.035, 0.035, 0.04, 0.04)]
        outline[2], outline[3] = (0.8 * outline[k] + 0.2 * outline[k - 2] for k in (2, 3))  # shirt ends above hip
        canvas.hull(outline, radii, shirt, OWNERS["torso"])
        if o.striped:
            for t in (0.25, 0.5, 0.75):
                ends = [(1 - t) * j[f"{s}_shoulder"] + t * j[f"{s}_hip"] for s in ("left", "right")]
                canvas.line(ends, o.trim, self._px(0.025))
        if self.facing[2] > 0.15:  # a line on the shirt marks the front
            canvas.line([0.7 * j["neck"] + 0.3 * j["chest_front"], j["belly_front"]], o.trim, self._px(0.012))

    def _draw_backpack(self, canvas: Canvas) -> None:
        j, o = self.joints, self.outfit
        corners = [0.5 * j["pack"] + 0.5 * j[n] for n in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")]
        canvas.hull(corners, self._px(0.04), self._lit(o.trim, "pack"), OWNERS["pack"])

    def _draw_head(self, canvas: Canvas) -> None:
        j, o, owner = self.joints, self.outfit, OWNERS["head"]
        hair, skin = self._lit(o.hair, "head"), self._lit(o.skin, "head")
        away = self.gaze[2] < -0.1
        canvas.hull([j["neck"], j["head"]], self._px(0.03), self._lit(o.skin, "neck"), owner)
        if o.long_hair and not away:
            canvas.hull([j["crown"], j["nape"], j["neck"]], self._px(0.06), hair, owner)
        canvas.hull([j["crown"], j["nape"]], [self._px(0.062), self._px(0.055)], hair, owner)
        if not away:
            canvas.hull([j["face"], j["mouth"]], [self._px(0.05), self._px(0.035)], skin, owner, outline=False)
        for side in ("left", "right"):
            if self._turned_here(f"{side}_ear"):
                canvas.hull([j[f"{side}_ear"]], self._px(0.016), skin, owner)
        if o.long_hair and away:
            canvas.hull([j["crown"], j["nape"], 0.6 * j["neck"] + 0.4 * j["chest_back"]], self._px(0.06), hair, owner)
        for side in ("left", "right"):
            if self._turned_here(f"{side}_eye"):
                canvas.hull([j[f"{side}_eye"]], self._px(0.018), (240, 240, 240), owner, outline=False)
                canvas.hull([j[f"{side}_eye"]], self._px(0.01), (40, 30, 20), owner, outline=False)
        if self._turned_here("nose"):
            bridge = 0.5 * (j["left_eye"] + j["right_eye"])
            shade = tuple(0.55 * channel for channel in skin)
            canvas.hull([bridge, j["nose"]], [self._px(0.005), self._px(0.015)], shade, owner, outline=False)
            canvas.hull([j["mouth"]], self._px(0.011), (60, 60, 150), owner, outline=False)

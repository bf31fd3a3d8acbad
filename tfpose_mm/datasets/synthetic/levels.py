"""Difficulty levels of the synthetic images: one record of ranges for each level."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Level:
    """Ranges from which a scene is sampled; angles in degrees, lengths as fractions of the body height.

    Args:
        people: Smallest and largest number of people in an image.
        image_height: Range of the image height, in pixels.
        body_size: Range of the body height, as a fraction of the image height.
        facing: Largest rotation away from the front view or the back view.
        tilt: Largest rotation of the whole body in the image plane.
        head_turn: Largest rotation of the head against the torso, and of the torso against the pelvis; the head nods by
            up to half of it.
        lean: Range of leaning forward.
        arm_swing: Range of swinging an arm forward.
        arm_abduction: Range of lifting an arm sideways.
        elbow: Range of bending an elbow.
        leg_swing: Range of swinging a leg forward.
        leg_abduction: Range of spreading a leg.
        knee: Range of bending a knee.
        clutter: Smallest and largest number of shapes behind the people.
        occluders: Smallest and largest number of objects in front of the people.
        truncation: Probability that a person is shifted, possibly across the image border.
        camouflage: Probability that clothes have a colour of the background.
        pattern: Probability of striped clothes; that of a backpack is half of it.
        noise: Standard deviation of the sensor noise, in grey levels.
        blur: Largest standard deviation of the blur, in pixels.
        gamma: Range of the gamma exponent that changes the exposure.
    """

    people: tuple[int, int]
    image_height: tuple[int, int]
    body_size: Range
    facing: float
    tilt: float
    head_turn: float
    lean: Range
    arm_swing: Range
    arm_abduction: Range
    elbow: Range
    leg_swing: Range
    leg_abduction: Range
    knee: Range
    clutter: tuple[int, int]
    occluders: tuple[int, int]
    truncation: float
    camouflage: float
    pattern: float
    noise: Range
    blur: float
    gamma: Range


LEVELS = {
    "easy": Level(
        people=(1, 1),
        image_height=(176, 240),
        body_size=(0.65, 0.92),
        facing=25,
        tilt=5,
        head_turn=10,
        lean=(-3, 8),
        arm_swing=(-15, 25),
        arm_abduction=(5, 70),
        elbow=(0, 45),
        leg_swing=(-20, 30),
        leg_abduction=(0, 18),
        knee=(0, 30),
        clutter=(3, 8),
        occluders=(0, 1),
        truncation=0.0,
        camouflage=0.0,
        pattern=0.2,
        noise=(1, 6),
        blur=0.5,
        gamma=(0.85, 1.2),
    ),
    "hard": Level(
        people=(1, 3),
        image_height=(176, 320),
        body_size=(0.35, 1.0),
        facing=90,
        tilt=60,
        head_turn=60,
        lean=(-20, 70),
        arm_swing=(-60, 180),
        arm_abduction=(-20, 170),
        elbow=(0, 145),
        leg_swing=(-50, 110),
        leg_abduction=(-10, 60),
        knee=(0, 140),
        clutter=(10, 40),
        occluders=(0, 3),
        truncation=0.25,
        camouflage=0.3,
        pattern=0.5,
        noise=(2, 18),
        blur=1.6,
        gamma=(0.55, 1.8),
    ),
}

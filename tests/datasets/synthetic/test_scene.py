from __future__ import annotations

import numpy as np
import pytest

from tfpose_mm.datasets.synthetic.canvas import NOTHING, OBJECT, Canvas
from tfpose_mm.datasets.synthetic.levels import LEVELS
from tfpose_mm.datasets.synthetic.person import Person, sample_outfit
from tfpose_mm.datasets.synthetic.scene import draw_scene
from tfpose_mm.datasets.synthetic.skeleton import COCO_KEYPOINTS, sample_joints

NOSE, LEFT_EYE, LEFT_WRIST = (COCO_KEYPOINTS.index(name) for name in ("nose", "left_eye", "left_wrist"))


def blank(height=240, width=200):
    return Canvas(np.full((height, width, 3), 128, dtype=np.uint8))


def person(seed, index=1, facing_camera=True, pelvis=(100, 120)):
    level = LEVELS["easy"]
    while True:
        joints = sample_joints(np.random.default_rng(seed), level)
        if (joints["gaze"][2] > 0.9) if facing_camera else (joints["gaze"][2] < -0.9):
            break
        seed += 100
    outfit = sample_outfit(np.random.default_rng(seed), level, (0, 0, 0))
    return Person(joints, outfit, 180.0, pelvis, index)


def test_hull_owns_what_it_covers():
    canvas = blank()
    canvas.hull([(50, 60), (90, 60)], 10, (0, 0, 255), owner=7)
    assert canvas.owner_at((70, 60)) == 7
    assert canvas.owner_at((50, 69)) == 7
    assert canvas.owner_at((50, 72)) == NOTHING
    assert canvas.owner_at((-1, 60)) is None
    assert canvas.owner_at((70, 240)) is None
    assert tuple(canvas.image[60, 70]) == (0, 0, 255)


def test_subpixel_positions_are_drawn():
    """The centre of mass of a disc follows its centre with subpixel accuracy."""
    for x in (60.0, 60.25, 60.5):
        canvas = Canvas(np.zeros((100, 120, 3), dtype=np.uint8))
        canvas.hull([(x, 50.0)], 12, (200, 200, 200), outline=False)
        mass = canvas.image[..., 0].astype(float)
        assert (mass.sum(0) * np.arange(120)).sum() / mass.sum() == pytest.approx(x, abs=0.1)


def test_a_face_is_labelled_only_when_it_is_turned_to_the_camera():
    for facing_camera in (True, False):
        for seed in range(5):
            canvas, who = blank(), person(seed, facing_camera=facing_camera)
            who.draw(canvas)
            visibility = who.visibility(canvas)
            assert (visibility[NOSE] > 0) == facing_camera
            assert (visibility[LEFT_EYE] > 0) == facing_camera


def test_what_stands_before_a_keypoint_hides_it():
    canvas, who = blank(), person(0)
    who.draw(canvas)
    before = who.visibility(canvas)
    assert before[LEFT_WRIST] == 2
    canvas.hull([who.keypoints[LEFT_WRIST]], 6, (0, 0, 0), OBJECT)
    after = who.visibility(canvas)
    assert after[LEFT_WRIST] == 1
    assert (after <= before).all()


def test_outside_the_image_nothing_is_labelled():
    canvas, who = blank(), person(0, pelvis=(100, 5))
    who.draw(canvas)
    above = who.keypoints[:, 1] < -1
    assert above.any()
    assert not who.visibility(canvas)[above].any()


def test_people_own_different_pixels():
    canvas = blank()
    first, second = person(0, 1, pelvis=(70, 120)), person(1, 2, pelvis=(130, 120))
    first.draw(canvas)
    alone = first.mask(canvas).sum()
    second.draw(canvas)
    assert not (first.mask(canvas) & second.mask(canvas)).any()
    assert 0 < first.mask(canvas).sum() <= alone
    assert not set(first.owners.values()) & set(second.owners.values())


@pytest.mark.parametrize(("level", "num_people"), [("easy", 1), ("hard", 1), ("hard", 3)])
def test_scene_has_the_people_asked_for(level, num_people):
    image, annotations = draw_scene(np.random.default_rng(5), LEVELS[level], num_people)
    assert len(annotations) == num_people
    assert image.dtype == np.uint8
    assert all(a.mask.shape == image.shape[:2] and a.mask.any() for a in annotations)
    again, _ = draw_scene(np.random.default_rng(5), LEVELS[level], num_people)
    assert np.array_equal(image, again)


def test_hard_is_harder():
    """Hard poses vary more than easy ones and have more hidden keypoints."""
    hidden, tilt = {}, {}
    for level in LEVELS:
        visible, upright = [], []
        for seed in range(60):
            _, (annotation, *_) = draw_scene(np.random.default_rng(seed), LEVELS[level], LEVELS[level].people[1])
            visible.append((annotation.keypoints[:, 2] == 2).mean())
            joints = sample_joints(np.random.default_rng(seed), LEVELS[level])
            upright.append(joints["left_ankle"][1] > joints["left_hip"][1] + 0.3)
        hidden[level], tilt[level] = 1 - np.mean(visible), 1 - np.mean(upright)
    assert hidden["hard"] > hidden["easy"] + 0.1
    assert tilt["hard"] > tilt["easy"] + 0.2

from __future__ import annotations

import numpy as np
import pytest

from tfpose_mm.datasets.synthetic.canvas import NOTHING, OBJECT, Canvas
from tfpose_mm.datasets.synthetic.person import Person, sample_outfit
from tfpose_mm.datasets.synthetic.scene import draw_scene
from tfpose_mm.datasets.synthetic.skeleton import COCO_KEYPOINTS, sample_joints

NOSE, LEFT_EYE, LEFT_WRIST = (COCO_KEYPOINTS.index(name) for name in ("nose", "left_eye", "left_wrist"))


def blank(height=240, width=200):
    return Canvas(np.full((height, width, 3), 128, dtype=np.uint8))


def person(seed, facing_camera=True, pelvis=(100, 120)):
    while True:
        joints = sample_joints(np.random.default_rng(seed))
        if (joints["gaze"][2] > 0.9) if facing_camera else (joints["gaze"][2] < -0.9):
            break
        seed += 100
    outfit = sample_outfit(np.random.default_rng(seed))
    return Person(joints, outfit, 180.0, pelvis)


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


def test_an_object_takes_pixels_of_the_person():
    canvas, who = blank(), person(0)
    who.draw(canvas)
    before = who.mask(canvas)
    assert not before[0, 0]
    canvas.hull([who.keypoints[LEFT_WRIST]], 6, (0, 0, 0), OBJECT)
    after = who.mask(canvas)
    assert 0 < after.sum() < before.sum()
    assert not (after & ~before).any()


def test_scene_has_a_person():
    image, annotation = draw_scene(np.random.default_rng(5))
    assert image.dtype == np.uint8
    assert annotation.mask.shape == image.shape[:2]
    assert annotation.mask.any()
    assert (annotation.keypoints[:, 2] > 0).sum() >= 6
    again, _ = draw_scene(np.random.default_rng(5))
    assert np.array_equal(image, again)

from __future__ import annotations

import numpy as np

from tfpose_mm.inference import Prediction, smooth, track


def prediction(boxes, index=0, name="clip.mp4", keypoints=None, fps=30.0):
    boxes = np.array(boxes, dtype=float).reshape(-1, 4)
    keypoints = np.zeros((len(boxes), 5, 2)) if keypoints is None else keypoints
    scores = np.ones(keypoints.shape[:2])
    ones = np.ones(len(boxes))
    return Prediction(name, index, (99, 88), keypoints, scores, boxes, ones, ones, [1] * len(boxes), fps)


def ids(predictions):
    return [entry.track_ids.tolist() for entry in track(predictions)]


def test_persons_keep_their_numbers():
    one, two = [0, 0, 10, 20], [50, 0, 60, 20]
    frames = [[one, two], [[52, 1, 62, 21], [1, 0, 11, 20]], [[54, 2, 64, 22]], [], [[3, 0, 13, 20], [56, 2, 66, 22]]]
    assert ids(prediction(boxes, index) for index, boxes in enumerate(frames)) == [[1, 2], [2, 1], [2], [], [1, 2]]


def test_who_is_new():
    """A person that was missing in more than 15 frames, a person elsewhere, the persons of another video."""
    box = [[0, 0, 10, 20]]
    for missing, expected in ((15, [1]), (16, [2])):
        frames = [prediction(box), *(prediction([], 1 + n) for n in range(missing)), prediction(box, 1 + missing)]
        assert ids(frames)[-1] == expected
    frames = [prediction(box), prediction([[40, 0, 50, 20]], 1), prediction([[40, 0, 50, 20]], 0, "b.mp4")]
    assert ids(frames) == [[1], [2], [1]]


def test_the_assignment_is_the_best_of_all():
    """The nearest pair first would leave a person without a box."""
    first = prediction([[0, 0, 10, 10], [4, 0, 14, 10]])
    second = prediction([[2.1, 0, 12.1, 10], [6.4, 0, 16.4, 10]], 1)
    assert ids([first, second]) == [[1, 2], [1, 2]]


def test_one_euro_filter_against_its_equations():
    """Computed by hand from the paper's algorithm, at 10 frames per second; the third frame is missing."""
    frames = [
        prediction([[0, 0, 2, 4]], index, keypoints=np.full((1, 5, 2), [x, 0.0]), fps=10.0)
        for index, x in ((0, 0.0), (1, 3.0), (3, 5.0))
    ]
    first, second, third = smooth(track(frames))
    assert not first.keypoints.any()

    def alpha(rate, cutoff):
        return 1 / (1 + rate / (2 * np.pi * cutoff))

    speed = alpha(10, 1.0) * 30.0  # 3 units in 0.1 s; the box has 4
    expected = alpha(10, 1.0 + speed / 4) * 3.0
    np.testing.assert_allclose(second.keypoints[0], [[expected, 0.0]] * 5)
    speed += alpha(5, 1.0) * ((5.0 - expected) * 5 - speed)
    expected += alpha(5, 1.0 + speed / 4) * (5.0 - expected)
    np.testing.assert_allclose(third.keypoints[0], [[expected, 0.0]] * 5)


def test_neither_images_nor_other_persons_are_mixed():
    points = np.stack([np.zeros((5, 2)), np.full((5, 2), 50.0)])
    images = [prediction([[0, 0, 9, 9]], 0, f"{index}.jpg", points[[index]], None) for index in range(2)]
    for entry, expected in zip(smooth(track(images)), points):
        assert np.array_equal(entry.keypoints, expected[None])
    boxes = [[0, 0, 10, 20], [50, 0, 60, 20]]
    frames = [prediction(boxes, 0, keypoints=points), prediction(boxes[::-1], 1, keypoints=points[::-1])]
    last = list(smooth(track(frames)))[-1]
    np.testing.assert_allclose(last.keypoints, points[::-1])
    assert last.keypoints is not points

from __future__ import annotations

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from tests.inference.test_tracking import prediction
from tfpose_mm.inference.drawing import DrawingWriter, draw_prediction


@pytest.fixture(scope="module")
def metainfo():
    return parse_pose_metainfo(dict(from_file="configs/_base_/datasets/coco.py"))


def draw(metainfo, keypoints, scores, boxes=None, track_ids=None, size=(200, 200)):
    entry = prediction(np.zeros((len(keypoints), 4)) if boxes is None else boxes, keypoints=keypoints)
    entry.size, entry.image = size, np.full((*size[::-1], 3), 7, np.uint8)
    entry.keypoint_scores, entry.track_ids = scores, track_ids
    picture = draw_prediction(entry, metainfo, 0.42)
    assert (entry.image == 7).all()
    return picture != 7


def test_only_keypoints_with_a_score_above_the_threshold_are_drawn(metainfo):
    keypoints = np.stack([10 + 20 * np.arange(17) % 180, 10 + 11 * np.arange(17)], axis=-1)[None].astype(float)
    scores = np.linspace(0, 0.8, 17)[None]
    without_links = dict(metainfo, skeleton_links=[], skeleton_link_colors=np.zeros((0, 3), np.uint8))
    drawn = draw(without_links, keypoints, scores)
    seen = [drawn[y - 1 : y + 2, x - 1 : x + 2].any() for x, y in keypoints[0].round().astype(int)]
    assert seen == (scores[0] > 0.42).tolist()
    assert not draw(metainfo, np.zeros((0, 17, 2)), np.zeros((0, 17))).any()


def test_numbers_stay_inside_the_image(metainfo):
    none = np.zeros((1, 17, 2))
    for box in ([-20.0, -20.0, 90.0, 90.0], [40.0, 20.0, 200.0, 100.0]):
        drawn = draw(metainfo, none, none[..., 0], [box], track_ids=np.array([28]), size=(80, 60))
        x, y = np.clip(box[:2], 0, None).astype(int)
        assert drawn[y + 3 :, x + 3 :].sum() > 100  # without the lines of the box


def test_a_video_that_cannot_be_written(metainfo, tmp_path):
    writer = DrawingWriter(tmp_path, metainfo, 0.5)
    (tmp_path / "clip.mp4").mkdir()
    entry = prediction([[0, 0, 9, 9]], keypoints=np.zeros((1, 17, 2)))
    entry.image = np.zeros((88, 99, 3), np.uint8)
    with pytest.raises(RuntimeError, match=r"could not write to .*: check permissions"):
        writer.write(entry)

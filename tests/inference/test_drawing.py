from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from tests.inference.test_tracking import prediction
from tfpose_mm.inference.drawing import VideoWriter, draw_prediction


@pytest.fixture(scope="module")
def metainfo():
    return parse_pose_metainfo(dict(from_file="configs/_base_/datasets/coco.py"))


def draw(metainfo, keypoints, scores, boxes=None, threshold=0.5, track_ids=None, size=(200, 200)):
    boxes = np.zeros((len(keypoints), 4)) if boxes is None else boxes
    entry = prediction(boxes, keypoints=keypoints)
    entry.size, entry.image = size, np.full((*size[::-1], 3), 7, np.uint8)
    entry.keypoint_scores, entry.track_ids = scores, track_ids
    picture = draw_prediction(entry, metainfo, threshold)
    assert (entry.image == 7).all()
    return picture != 7


def test_only_keypoints_with_a_score_above_the_threshold_are_drawn(metainfo):
    keypoints = np.stack([10 + 20 * np.arange(17) % 180, 10 + 11 * np.arange(17)], axis=-1)[None].astype(float)
    scores = np.linspace(0, 0.8, 17)[None]
    without_links = dict(metainfo, skeleton_links=[], skeleton_link_colors=np.zeros((0, 3), np.uint8))
    drawn = draw(without_links, keypoints, scores, threshold=0.42)
    seen = [drawn[y - 1 : y + 2, x - 1 : x + 2].any() for x, y in keypoints[0].round().astype(int)]
    assert seen == (scores[0] > 0.42).tolist()
    assert not draw(metainfo, np.zeros((0, 17, 2)), np.zeros((0, 17))).any()


def test_links_need_both_ends(metainfo):
    keypoints = np.zeros((1, 17, 2))
    keypoints[0, 5], keypoints[0, 7] = (20, 20), (20, 120)  # left shoulder and left elbow
    for low, expected in ((0.9, True), (0.1, False)):
        scores = np.zeros((1, 17))
        scores[0, 5], scores[0, 7] = 0.9, low
        assert draw(metainfo, keypoints, scores)[70, 18:23].any() == expected


def test_labels_stay_inside_the_image(metainfo):
    none = np.zeros((1, 17, 2))
    for box in ([-20.0, -20.0, 30.0, 30.0], [70.0, 50.0, 200.0, 100.0]):
        drawn = draw(metainfo, none, none[..., 0], [box], track_ids=np.array([1]), size=(80, 60))
        assert drawn.sum() > 500  # the label


def test_ctrl_c_in_the_terminal_does_not_end_ffmpeg(tmp_path, monkeypatch):
    """A stand-in that, as ffmpeg, is ended by SIGINT: it is not in the process group of the terminal."""
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        '#!/bin/sh\nif [ "$2" = -encoders ]; then echo libx264; exit; fi\ncat > /dev/null; ps -o pgid= $$ > group\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    writer = VideoWriter(tmp_path / "clip.mp4", 10, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.close()
    assert int((tmp_path / "group").read_text()) != os.getpgrp()


def test_browsers_play_the_video(tmp_path):
    """H.264 with an ffmpeg that has libx264."""
    if shutil.which("ffmpeg") is None:
        assert os.environ.get("CI") != "true", "needs ffmpeg (apt-get install ffmpeg)"
        pytest.skip("needs ffmpeg (apt-get install ffmpeg)")
    writer = VideoWriter(tmp_path / "clip.mp4", 12, (65, 47))  # odd sizes
    for value in range(6):
        writer.write(np.full((47, 65, 3), 40 * value, np.uint8))
    writer.close()
    probe = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=codec_name,pix_fmt,nb_read_frames"]
    shown = subprocess.run([*probe, tmp_path / "clip.mp4"], capture_output=True, text=True, check=True).stdout
    assert {"codec_name=h264", "pix_fmt=yuv420p", "nb_read_frames=6"} <= set(shown.split())


def test_a_video_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RuntimeError, match=r"could not write .*check permissions"):
        VideoWriter(tmp_path / "missing/clip.mp4", 10, (64, 48))

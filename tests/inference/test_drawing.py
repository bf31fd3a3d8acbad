from __future__ import annotations

import os
import shutil
import subprocess

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from tfpose_mm.inference.drawing import VideoWriter, draw_people


@pytest.fixture(scope="module")
def metainfo():
    return parse_pose_metainfo(dict(from_file="configs/_base_/datasets/coco.py"))


def drawn_at(picture, point):
    x, y = point.round().astype(int)
    return picture[y - 1 : y + 2, x - 1 : x + 2].any()


def test_only_keypoints_with_a_score_above_the_threshold_are_drawn(metainfo):
    keypoints = np.stack([10 + 20 * np.arange(17) % 180, 10 + 11 * np.arange(17)], axis=-1)[None].astype(float)
    scores = np.linspace(0, 0.8, 17)[None]
    without_links = dict(metainfo, skeleton_links=[], skeleton_link_colors=np.zeros((0, 3), np.uint8))
    picture = draw_people(np.zeros((200, 200, 3), np.uint8), keypoints, scores, [], without_links, 0.42)
    drawn = [drawn_at(picture, point) for point in keypoints[0]]
    assert drawn == (scores[0] > 0.42).tolist()


def test_links_need_both_ends(metainfo):
    keypoints = np.zeros((1, 17, 2))
    keypoints[0, 5], keypoints[0, 7] = (20, 20), (20, 120)  # left shoulder and left elbow
    for low, expected in ((0.9, True), (0.1, False)):
        scores = np.zeros((1, 17))
        scores[0, 5], scores[0, 7] = 0.9, low
        picture = draw_people(np.zeros((200, 200, 3), np.uint8), keypoints, scores, [], metainfo, 0.5)
        assert picture[70, 18:23].any() == expected


def test_labels_stay_inside_the_image(metainfo):
    image = np.zeros((60, 80, 3), np.uint8)
    none = np.zeros((1, 17, 2))
    for box in ([-20.0, -20.0, 30.0, 30.0], [70.0, 50.0, 200.0, 100.0]):
        picture = draw_people(image, none, none[..., 0], np.array([box]), metainfo, 0.5, ["person 1"])
        assert picture.max() > 240  # the white text
        assert image.max() == 0


def test_the_image_is_not_changed_and_nobody_is_drawn(metainfo):
    image = np.full((40, 30, 3), 7, np.uint8)
    picture = draw_people(image, np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros((0, 4)), metainfo, 0.5)
    assert np.array_equal(picture, image)


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

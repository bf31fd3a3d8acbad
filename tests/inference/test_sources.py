from __future__ import annotations

import cv2
import numpy as np
import pytest

from tfpose_mm.errors import UserError
from tfpose_mm.inference import find_sources
from tfpose_mm.inference.sources import read_frames


def write_video(path, frames, size=(64, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 12.0, size)
    for index in range(frames):
        writer.write(np.full((size[1], size[0], 3), 20 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.JPG", "c.jpg"):
        cv2.imwrite(str(tmp_path / name), np.zeros((7, 5, 3), np.uint8))
    write_video(tmp_path / "d.mp4", 4)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_folders_globs_files_and_webcams(folder):
    names = [source.name.replace(f"{folder}/", "") for source in find_sources(folder)]
    assert names == ["a.JPG", "b.png", "c.jpg", "d.mp4"]
    found = find_sources([folder / "c.jpg", f"{folder}/*.jpg", f"{folder}/?.png", "webcam:1", "webcam"])
    assert [source.name.replace(f"{folder}/", "") for source in found] == ["c.jpg", "b.png", "webcam:1", "webcam:0"]
    assert [source.kind for source in found] == ["image", "image", "webcam", "webcam"]
    (video,) = find_sources(str(folder / "d.mp4"))
    assert (video.kind, video.frames, video.fps) == ("video", 4, 12.0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "needs at least one input, but got none"),
        (["nowhere.jpg"], r"The input nowhere\.jpg does not exist"),
        (["*.gif"], r"The pattern \*\.gif must match files, but matches none"),
        (["sub"], "The folder sub must contain images or videos, but has none: known endings are .avif"),
    ],
)
def test_wrong_inputs(inputs, message, folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=message):
        find_sources(inputs)


def test_frames_are_read_in_order_and_the_rest_is_done(folder):
    (folder / "bb.jpg").write_bytes(b"broken")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "b0.jpg").write_bytes(b"")
    unreadable = []
    frames = list(read_frames(find_sources(folder), unreadable))
    names = [(frame.source.name.rpartition("/")[2], frame.index) for frame in frames]
    assert names == [("a.JPG", 0), ("b.png", 0), ("c.jpg", 0), *(("d.mp4", index) for index in range(4))]
    assert frames[0].image.shape == (7, 5, 3)
    assert [round(frame.image.mean() / 20) for frame in frames[3:]] == [0, 1, 2, 3]
    assert [name.rpartition("/")[2] for name, _ in unreadable] == ["b0.jpg", "bb.jpg", "empty.mp4"]
    assert unreadable[2].reason == "it has no frame that OpenCV can decode"


def test_frames_are_read_one_at_a_time(folder, monkeypatch):
    decoded = []
    real = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(1) or real(*arguments))
    frames = read_frames(find_sources(folder), [])
    next(frames)
    assert len(decoded) == 1

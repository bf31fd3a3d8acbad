"""What people really predict: each input is read, or named in a sentence, and no bad one loses another."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tfpose_mm.errors import UserError
from tfpose_mm.inference.sources import LARGEST, find_sources, read_frames

FRAMES, SIZE = 20, (64, 48)


def write_video(path, code="MJPG", frames=FRAMES, size=SIZE, brightness=None):
    """Frames of noise, so that each has its own data in the file, or of a brightness that grows."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 12.0, size)
    rng = np.random.default_rng(0)
    for index in range(frames):
        noise = rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        writer.write(noise if brightness is None else np.full_like(noise, brightness * index))
    writer.release()
    return bytearray(path.read_bytes())


def write_image(path, size=(7, 5)):
    cv2.imwrite(str(path), np.zeros((*size, 3), np.uint8))


def frames_of(data):
    """Start and length of each frame in an .avi file."""
    starts = [place for place in range(len(data)) if data[place : place + 4] == b"00dc" and data[place + 8] == 0xFF]
    return [(start + 8, struct.unpack("<I", data[start + 4 : start + 8])[0]) for start in starts]


def read(*paths):
    unreadable = []
    frames = list(read_frames(find_sources([*map(str, paths)]), unreadable))
    return frames, unreadable


def names(frames):
    return [frame.source.name.rpartition("/")[2] for frame in frames]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "c.jpg"):
        write_image(tmp_path / name)
    write_video(tmp_path / "d.mp4", "mp4v", 4, brightness=20)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "sub").mkdir()
    return tmp_path


def test_folders_globs_files_and_webcams(folder):
    found = find_sources([folder / "c.jpg", f"{folder}/*.jpg", "?.png", "d.mp4", "webcam:1", "webcam"])
    names = ["c.jpg", "b.png", "d.mp4", "webcam:1", "webcam:0"]
    assert [source.name.replace(f"{folder}/", "") for source in found] == names
    assert [source.kind for source in found] == ["image", "image", "video", "webcam", "webcam"]
    assert (found[2].frames, found[2].fps) == (4, 12.0)


def test_wrong_inputs(folder):
    for inputs, message in (
        ([], "needs at least one input, but got none"),
        (["nowhere.jpg"], r"The input nowhere\.jpg must be .* but there is none: check the path\.$"),
        ("sub", "The input sub must be .* there is none: check the path; subfolders are not searched, .* .avif, .bmp"),
        ([np.zeros((5, 7, 3), np.uint8), np.zeros((5, 7, 4), np.uint8)], r"but input 1 is uint8 \(5, 7, 4\)"),
        (3, "input 0 is a int: convert it"),
        ("", "An input must be the path of an image"),
    ):
        with pytest.raises(UserError, match=message):
            find_sources(inputs)


def test_frames_are_read_in_order_one_at_a_time(folder, monkeypatch):
    decoded = []
    real = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded.append(1) or real(*arguments))
    frames = read_frames(find_sources(folder), unreadable := [])
    assert next(frames).image.shape == (7, 5, 3)
    assert len(decoded) == 1
    frames = list(frames)
    expected = [("b.png", 0), ("c.jpg", 0), *(("d.mp4", index) for index in range(4))]
    assert [*zip(names(frames), (frame.index for frame in frames))] == expected
    assert [round(frame.image.mean() / 20) for frame in frames[2:]] == [0, 1, 2, 3]
    assert unreadable == []


def test_damaged_and_cut_videos(tmp_path, reliability):
    path = tmp_path / "clip.avi"
    whole = write_video(path)
    write_image(tmp_path / "good.png")
    for numbers in ([0], [3, 11, 12], [19], range(5, 18)):
        data = bytearray(whole)
        for start, length in [frames_of(data)[number] for number in numbers]:
            data[start : start + length] = bytes(length)
        path.write_bytes(data)
        frames, unreadable = read(path, tmp_path / "good.png")
        assert [frame.index for frame in frames] == [*(n for n in range(FRAMES) if n not in numbers), 0]
        last_only = [*numbers] == [FRAMES - 1]  # some formats estimate the number of frames, so 1 less is no fault
        expected = f"{path} could not be read: {len(numbers)} of its {FRAMES} frames cannot be decoded."
        assert unreadable == ([] if last_only else [expected])
    for fraction in (0.3, 0.8):
        end = int(fraction * len(whole))
        path.write_bytes(whole[:end])
        complete = sum(start + length <= end for start, length in frames_of(whole))
        frames, (sentence,) = read(path)
        assert complete <= len(frames) <= complete + 1  # of a cut JPEG the decoder may give a part
        assert sentence.endswith(f"{FRAMES - len(frames)} of its {FRAMES} frames cannot be decoded.")
    fault = "damaged frames in a video: first, middle, two places, most"
    outcome = "the other frames are predicted with their own numbers; one sentence has the number of the missing ones"
    reliability.row("inputs", fault, 1, outcome, "these frames")
    lost = "the frames that are not in the file"
    reliability.row("inputs", "a video without its end", 1, "as for damaged frames", lost)


def test_a_rotated_video_is_turned_as_players_turn_it(tmp_path, reliability):
    """The matrix in tkhd turns the picture; a phone writes it."""
    path = tmp_path / "phone.mp4"
    data = write_video(path, "mp4v")
    upright = read(path)[0][3].image
    place = data.index(b"tkhd") + 4 + 4 + 20 + 16
    for a, b, x, y, turn in (
        (0, 1, SIZE[1], 0, cv2.ROTATE_90_CLOCKWISE),
        (-1, 0, *SIZE, cv2.ROTATE_180),
        (0, -1, 0, SIZE[0], cv2.ROTATE_90_COUNTERCLOCKWISE),
    ):
        matrix = [value << 16 for value in (a, b, 0, -b, a, 0, x, y)]
        data[place : place + 36] = struct.pack(">9i", *matrix, 1 << 30)
        path.write_bytes(data)
        frames, unreadable = read(path)
        assert unreadable == []
        assert np.array_equal(frames[3].image, cv2.rotate(upright, turn))
    fault = "a video of a phone that is stored turned by 90, 180 or 270 degrees"
    reliability.row("inputs", fault, 1, "upright, as players show it")


def test_videos_are_known_by_their_content(tmp_path, reliability):
    files = ["clip", *(f"clip.{ending}" for ending in ("3gp", "MP4", "dat", "flv", "m2ts", "mts", "ts", "wmv"))]
    for name in files:
        (tmp_path / name).write_bytes(write_video(tmp_path / "clip.mp4", "mp4v"))
        frames, unreadable = read(tmp_path / name)
        assert (len(frames), unreadable) == (FRAMES, [])
    assert len(find_sources(tmp_path)) == len(files) + 1 - 2  # a folder's are known by their ending
    reliability.row("inputs", "videos with the endings .wmv, .ts, .mts, .3gp, .flv, with none or another", 1, "read")


def test_animations_and_stacks(tmp_path):
    """A .gif is a video; other files with several frames are named, because OpenCV decodes the first only."""
    pages = [Image.fromarray(np.full((48, 64, 3), 60 * page, np.uint8)) for page in range(3)]
    for name in ("a.gif", "b.tif"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], duration=100)
    source, _ = find_sources(tmp_path)
    frames, unreadable = read(tmp_path)
    assert (source.kind, source.fps) == ("video", 10.0)
    assert [round(frame.image.mean() / 60) for frame in frames] == [0, 1, 2]
    assert unreadable == [f"{tmp_path}/b.tif could not be read: it has 3 frames: save them as images or as a video."]


def png_header(width, height):
    """A PNG file whose header gives a size, without pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


BAD = {
    "bad.avif": b"\x00\x00\x00\x1cftypavif",
    "bad.bmp": b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, -(2**31), 2**31 - 1, 1, 24, 0) + bytes(30),
    "bad.mp4": b"\x00\x00\x00\x18ftypmp42",
    "bad.tif": b"II*\x00\xff\xff\xff\x7f",
    "cut.gif": b"GIF89a\x05\x00",
    "cut.webp": b"RIFF\x00\x01\x00\x00WEBPVP8 ",
    "empty.jpg": b"",
    "huge.png": png_header(100_000, 100_000),
    "text.jpg": b"<html>not found</html>",
    "wide.png": png_header(2**31 - 1, 3),
}


def test_what_no_decoder_reads_is_named_and_loses_nothing_else(tmp_path, reliability):
    for good in ("a.png", "z.png"):
        write_image(tmp_path / good)
    for name, content in BAD.items():
        (tmp_path / name).write_bytes(content)
    frames, unreadable = read(tmp_path)
    assert names(frames) == ["a.png", "z.png"]
    reasons = {".mp4": "it has no frame that OpenCV can decode", ".gif": "it has no frame that OpenCV can decode"}
    image = "it is not an image that OpenCV can decode"
    expected = [f"{tmp_path}/{name} could not be read: {reasons.get(name[-4:], image)}." for name in BAD]
    assert unreadable == expected
    outcome = "named in a sentence, exit status 3; all others are predicted"
    reliability.row("inputs", "ten files that no decoder reads, or at which one raises an error", 1, outcome)


def test_sizes_and_orientations_of_images(tmp_path, reliability):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    write_image(tmp_path / "long.png", (2, LARGEST + 1))
    write_image(tmp_path / "most.png", (2, LARGEST))
    frames, unreadable = read(tmp_path)
    assert [frame.image.shape[:2] for frame in frames] == [(7, 9), (2, LARGEST)]
    size = f"the size is {LARGEST + 1} x 2, but no side may be longer than {LARGEST} pixels"
    assert unreadable == [f"{tmp_path}/long.png could not be read: {size}."]
    reliability.row("inputs", "an image longer than OpenCV's warpAffine takes", 1, "named in a sentence, exit status 3")

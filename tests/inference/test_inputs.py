"""What people really predict: each input is read, or named in a sentence, and no bad one loses another."""

from __future__ import annotations

import os
import struct
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.paths import TINY
from tfpose_mm.errors import UserError
from tfpose_mm.inference import Predictor, find_sources
from tfpose_mm.inference.sources import LARGEST, read_frames

FRAMES, SIZE = 20, (64, 48)


def write_video(path, code="MJPG"):
    """Frames of noise, so that each has its own data in the file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 12.0, SIZE)
    rng = np.random.default_rng(0)
    for _ in range(FRAMES):
        writer.write(rng.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8))
    writer.release()
    return bytearray(path.read_bytes())


def frames_of(data):
    """Start and length of each frame in an .avi file."""
    starts = [place for place in range(len(data)) if data[place : place + 4] == b"00dc" and data[place + 8] == 0xFF]
    return [(start + 8, struct.unpack("<I", data[start + 4 : start + 8])[0]) for start in starts]


def read(*paths):
    unreadable = []
    frames = list(read_frames(find_sources([*map(str, paths)]), unreadable))
    return frames, unreadable


def damage(data, numbers):
    for start, length in [frames_of(data)[number] for number in numbers]:
        data[start : start + length] = bytes(length)


@pytest.mark.parametrize("numbers", [[0], [7, 8, 9], [3, 11, 12], [19], range(5, 18)], ids=str)
def test_damaged_frames_of_a_video(tmp_path, numbers, reliability):
    path = tmp_path / "clip.avi"
    data = write_video(path)
    damage(data, numbers)
    path.write_bytes(data)
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((7, 5, 3), np.uint8))
    frames, unreadable = read(path, tmp_path / "good.png")
    left = [number for number in range(FRAMES) if number not in numbers]
    assert [frame.index for frame in frames] == [*left, 0]
    last_only = [*numbers] == [FRAMES - 1]  # some formats estimate the number of frames, so 1 less is no fault
    expected = f"{path} could not be read: {len(numbers)} of its {FRAMES} frames cannot be decoded."
    assert [*map(str, unreadable)] == ([] if last_only else [expected])
    outcome = (
        "the other frames are predicted with their own numbers; one sentence has the number of those that are missing"
    )
    reliability.row("inputs", "damaged frames in a video: first, middle, two places, most", 1, outcome, "these frames")


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.8])
def test_a_cut_video(tmp_path, fraction, reliability):
    path = tmp_path / "clip.avi"
    data = write_video(path)
    end = int(fraction * len(data))
    path.write_bytes(data[:end])
    whole = sum(start + length <= end for start, length in frames_of(data))
    frames, unreadable = read(path)
    assert whole <= len(frames) <= whole + 1  # of a cut JPEG the decoder may give a part
    assert str(unreadable[0]).endswith(f"{FRAMES - len(frames)} of its {FRAMES} frames cannot be decoded.")
    reliability.row("inputs", "a video without its end", 1, "as damaged frames", "the frames that are not in the file")


@pytest.mark.parametrize(("degrees", "corner"), [(90, 0), (180, 1), (270, 2)])
def test_a_rotated_video_is_turned_as_players_turn_it(tmp_path, degrees, corner, reliability):
    """The matrix in tkhd turns the picture; a phone writes it."""
    path = tmp_path / "phone.mp4"
    data = write_video(path, "mp4v")
    width, height = SIZE
    matrix = {90: (0, 1, -1, 0, height, 0), 180: (-1, 0, 0, -1, width, height), 270: (0, -1, 1, 0, 0, width)}[degrees]
    a, b, c, d, x, y = (value << 16 for value in matrix)
    place = data.index(b"tkhd") + 4 + 4 + 20 + 16
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, x, y, 1 << 30)
    path.write_bytes(data)
    frames, unreadable = read(path)
    assert unreadable == []
    assert frames[0].image.shape[:2] == (SIZE if degrees != 180 else SIZE[::-1])
    upright = tmp_path / "upright.mp4"
    write_video(upright, "mp4v")
    turn = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)[corner]
    assert np.array_equal(frames[3].image, cv2.rotate(read(upright)[0][3].image, turn))
    reliability.row("inputs", "a phone's video, turned by 90, 180, 270 degrees", 1, "upright, as players show it")


@pytest.mark.parametrize("ending", ["3gp", "flv", "m2ts", "mts", "ts", "wmv", "MP4", "", "dat"])
def test_videos_are_known_by_their_content(tmp_path, ending, reliability):
    path = tmp_path / f"clip.{ending}" if ending else tmp_path / "clip"
    data = write_video(tmp_path / "clip.mp4", "mp4v")
    path.write_bytes(data)
    frames, unreadable = read(path)
    assert (len(frames), unreadable) == (FRAMES, [])
    if ending not in ("", "dat"):
        assert len(find_sources(tmp_path)) == 2
    reliability.row("inputs", "videos with the endings .wmv, .ts, .mts, .3gp, .flv, with none or another", 1, "read")


@pytest.mark.parametrize(
    ("name", "options", "fps"),
    [
        ("stack.tif", {}, None),
        ("animation.gif", dict(duration=100), 10.0),
        ("animation.webp", dict(duration=50, lossless=True), 20.0),
        ("animation.png", dict(duration=200), 5.0),
    ],
)
def test_all_frames_of_a_stack_or_an_animation(tmp_path, name, options, fps, reliability):
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.integers(0, 255, (9, 7, 3), dtype=np.uint8)) for _ in range(3)]
    pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], **options)
    (source,) = find_sources(tmp_path)
    frames, unreadable = read(tmp_path / name)
    assert ([frame.index for frame in frames], unreadable) == ([0, 1, 2], [])
    assert source.fps == (None if fps is None else pytest.approx(fps, rel=0.01)) or name.endswith("webp")
    for frame, page in zip(frames, pages):
        assert frame.image.shape == (9, 7, 3)
        if not name.endswith("gif"):  # it has 256 colours
            assert np.array_equal(frame.image[..., ::-1], np.asarray(page))
    reliability.row("inputs", "stacks and animations: .tif, .gif, .webp, .png", 1, "all frames are read")


def png_header(width, height):
    """A PNG file whose header gives a size, without pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("huge.png", png_header(100_000, 100_000)),
        ("wide.png", png_header(2**31 - 1, 3)),
        ("bad.bmp", b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, -(2**31), 2**31 - 1, 1, 24, 0) + bytes(30)),
        ("empty.jpg", b""),
        ("text.jpg", b"<html>not found</html>"),
        ("cut.webp", b"RIFF\x00\x01\x00\x00WEBPVP8 "),
        ("cut.gif", b"GIF89a\x05\x00"),
        ("bad.tif", b"II*\x00\xff\xff\xff\x7f"),
        ("bad.mp4", b"\x00\x00\x00\x18ftypmp42"),
        ("bad.avif", b"\x00\x00\x00\x1cftypavif"),
    ],
)
def test_what_no_decoder_reads_is_named_and_loses_nothing_else(tmp_path, name, content, reliability):
    for good in ("a.png", "z.png"):
        cv2.imwrite(str(tmp_path / good), np.zeros((7, 5, 3), np.uint8))
    (tmp_path / name).write_bytes(content)
    frames, unreadable = read(tmp_path)
    assert [frame.source.name.rpartition("/")[2] for frame in frames] == ["a.png", "z.png"]
    assert [entry.name for entry in unreadable] == [str(tmp_path / name)]
    outcome = "named in a sentence, exit status 3; all others are predicted"
    reliability.row("inputs", "ten files that no decoder reads, or at which one raises an error", 1, outcome)


def test_an_image_that_is_too_long_is_named(tmp_path, reliability):
    cv2.imwrite(str(tmp_path / "long.png"), np.zeros((2, LARGEST + 1, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "most.png"), np.zeros((2, LARGEST, 3), np.uint8))
    frames, unreadable = read(tmp_path)
    assert [frame.source.name.rpartition("/")[2] for frame in frames] == ["most.png"]
    assert unreadable[0].reason == f"the size is {LARGEST + 1} x 2, but no side may be longer than {LARGEST} pixels"
    reliability.row("inputs", "an image longer than OpenCV's warpAffine takes", 1, "named in a sentence, exit status 3")


def test_a_grey_gif_and_a_turned_image_are_images(tmp_path):
    Image.fromarray(np.arange(63, dtype=np.uint8).reshape(9, 7)).save(tmp_path / "one.gif")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    frames, unreadable = read(tmp_path / "one.gif", tmp_path / "turned.jpg")
    assert ([frame.image.shape for frame in frames], unreadable) == ([(9, 7, 3), (7, 9, 3)], [])


def test_arrays_are_inputs(checkpoint, people, reliability):
    predictor = Predictor(TINY, checkpoint)
    path = str(people / "val/000000000001.jpg")
    image = cv2.imread(path)
    boxes = np.array([[5.0, 6, 80, 120], [10, 20, 70, 150]])
    (expected,) = predictor(path, lambda _: boxes)
    for given in (boxes, [boxes], lambda _: boxes):
        for inputs in (image, [image], image[None], iter([image])):
            (found,) = predictor(inputs, given)
            np.testing.assert_array_equal(found.keypoints, expected.keypoints)
    two = [*predictor([image, path], [boxes, boxes[:1]])]
    assert [len(found.boxes) for found in two] == [2, 1]
    outcome = "as the same image in a file"
    reliability.row("inputs", "arrays (H, W, 3), lists of them, a generator; boxes as arrays", 1, outcome)


def test_a_list_of_boxes_belongs_to_the_images_not_to_those_that_can_be_read(checkpoint, people, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    good = str(people / "val/000000000001.jpg")
    predictor = Predictor(TINY, checkpoint)
    first, second = np.array([[5.0, 6, 40, 50]]), np.array([[10.0, 20, 70, 150], [1, 2, 30, 40]])
    (found,) = predictor([str(tmp_path / "bad.jpg"), good], [first, second])
    assert np.array_equal(found.boxes[:, :4], second)
    assert len(predictor.unreadable) == 1
    with pytest.raises(UserError, match="needs an array for each image, but has 3 for 2 inputs"):
        list(predictor([str(tmp_path / "bad.jpg"), good], [first, second, first]))


def test_a_stream_that_fails_keeps_what_it_gave(checkpoint):
    def stream():
        yield np.zeros((50, 40, 3), np.uint8)
        yield np.zeros((50, 40), np.uint8)
        yield np.ones((50, 40, 3), np.uint8)
        raise ConnectionError("the camera is gone")

    predictor = Predictor(TINY, checkpoint)
    found = list(predictor(stream()))
    assert [result.index for result in found] == [0, 2]
    shape, end = map(str, predictor.unreadable)
    assert "image 1 must be an array (H, W, 3)" in shape
    assert "after 3 images it raised ConnectionError: the camera is gone" in end


def test_an_iterator_of_paths(checkpoint, people):
    paths = sorted(map(str, (people / "val").glob("*.jpg")))[:3]
    predictor = Predictor(TINY, checkpoint)
    assert [found.name for found in predictor(iter(paths))] == paths


def test_pages_of_32_bits_are_named(tmp_path):
    """Their range is not known: OpenCV and Pillow cut the values at 0 and 255."""
    page = Image.fromarray(np.linspace(0, 1, 63, dtype=np.float32).reshape(9, 7))
    page.save(tmp_path / "one.tif")
    page.save(tmp_path / "two.tif", save_all=True, append_images=[page])
    frames, unreadable = read(tmp_path)
    assert frames == []
    assert [entry.reason for entry in unreadable] == [
        "it has 32 bits per value: convert it to 8 bits",
        "2 of its 2 frames cannot be decoded (it has 32 bits per value: convert it to 8 bits)",
    ]


def test_pages_of_a_stack_are_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    page = Image.fromarray(np.zeros((9, 7, 3), np.uint8))
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page], exif=exif)
    frames, _ = read(tmp_path / "stack.tif")
    assert frames[0].image.shape == (7, 9, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((5, 7)), r"Input 0 must be an array \(H, W, 3\) of uint8 in the order BGR, but is float64 of shape"),
        (np.zeros((5, 7, 4), np.uint8), r"but is uint8 of shape \(5, 7, 4\): convert it"),
        ([np.zeros((5, 7, 3), np.float32)], r"but is float32 of shape \(5, 7, 3\)"),
        ([3], "An input must be the path of an image, .* but got a int: convert it"),
        (3, "but got a int"),
        ("", "An input must be the path of an image"),
        ([Image.new("RGB", (3, 4))], "but got a Image: convert it"),
    ],
)
def test_other_inputs_are_a_sentence(inputs, message):
    with pytest.raises(UserError, match=message):
        find_sources(inputs)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "needs an array for each image, but has 0 for 1 inputs"),
        (3, "Boxes must be a json file, an array, a list of arrays or a function, but got a int"),
        (np.zeros((2, 3)), r"The boxes must give boxes \(P, 4\) or \(P, 5\)"),
        ([[5, 6, 1, 2]], "with x2 > x1 and y2 > y1"),
        ([[[5, 6, 7, 8], [5, 6]]], r"The boxes of image 0 must give boxes \(P, 4\) or \(P, 5\)"),
    ],
)
def test_other_boxes_are_a_sentence(boxes, message, checkpoint):
    predictor = Predictor(TINY, checkpoint)
    with pytest.raises(UserError, match=message):
        list(predictor(np.zeros((50, 40, 3), np.uint8), boxes))


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("0", "must be cpu or a GPU as cuda:0, but is '0': probably cuda:0 is meant"),
        ("1", "probably cuda:1 is meant"),
        ("gpu", "probably cuda:0 is meant"),
        ("GPU", "probably cuda:0 is meant"),
        ("mps", "must be cpu or"),
        ("meta", "must be cpu or cuda, because MMCV's attention has no other"),
        ("cuda:99", "must be cpu or a GPU that torch can use, but cuda:99 fails"),
        ("graphics", "but graphics fails"),
    ],
)
def test_other_devices_are_a_sentence(device, message, checkpoint, reliability):
    with pytest.raises(UserError, match=message):
        Predictor(TINY, checkpoint, device)
    reliability.row(
        "inputs", "--device 0, gpu, mps and other wrong names", 1, "a sentence with the device that is meant"
    )


def test_predictors_in_threads_and_in_a_forked_process(checkpoint, people, reliability):
    """A fork has no threads of torch: an operation that needs them would wait forever."""
    image = str(people / "val/000000000001.jpg")
    made, errors = [], []

    def work():
        try:
            made.append(Predictor("tfpose_tiny_synthetic_128x96", checkpoint))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (len(made), errors) == (6, [])
    (expected,) = made[0](image)
    for new in (False, True):
        child = os.fork()
        if child == 0:
            predictor = Predictor(TINY, checkpoint) if new else made[0]
            (found,) = predictor(image)
            os._exit(0 if np.allclose(found.keypoints, expected.keypoints, atol=1e-3) else 1)
        timer = threading.Timer(60, os.kill, (child, 9))
        timer.start()
        assert os.waitpid(child, 0)[1] == 0
        timer.cancel()
    fault = "Predictors made in 6 threads at once, used and made in a forked process"
    reliability.row("inputs", fault, 1, "the same predictions")

from __future__ import annotations

import json

import mmdet
import numpy as np
import pytest
import torch

from tfpose_mm.errors import UserError
from tfpose_mm.inference import FromDetector, FromFile, FromFunction, WholeImage
from tfpose_mm.inference.boxes import choose_categories
from tfpose_mm.inference.sources import Frame, Source


def frame(name, index=0, kind="image", size=(60, 80)):
    return Frame(Source(name, kind, 3), index, np.zeros((*size, 3), np.uint8))


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_the_whole_image():
    assert WholeImage()(frame("a.jpg")).tolist() == [[0, 0, 80, 60, 1]]


def test_a_function():
    boxes = FromFunction(lambda image: [[1, 2, image.shape[1], 9]])(frame("a.jpg"))
    assert boxes.tolist() == [[1, 2, 80, 9, 1]]
    assert boxes.dtype == np.float32
    assert FromFunction(lambda image: [])(frame("a.jpg")).shape == (0, 5)
    for wrong in ([1, 2, 3, 4], [[1, 2, 3]], [["a"] * 4], [[5, 5, 5, 9]], [[0, 0, float("nan"), 1]]):
        with pytest.raises(UserError, match=r"The box function, for a\.jpg, must give boxes"):
            FromFunction(lambda image, wrong=wrong: wrong)(frame("a.jpg"))


COCO = dict(
    images=[dict(id=7, file_name="val/a.jpg"), dict(id=9, file_name="val/b.jpg"), dict(id=11, file_name="val/c.jpg")],
    annotations=[
        dict(image_id=7, bbox=[1, 2, 10, 20]),
        dict(image_id=7, bbox=[5, 5, 10, 10], iscrowd=1),
        dict(image_id=7, bbox=[5, 5, 0, 10]),
        dict(image_id=9, bbox=[0, 0, 4, 4]),
        dict(image_id=9, bbox=[1, 1, 4, 4]),
    ],
)


def test_coco_annotations(tmp_path):
    boxes = FromFile(write(tmp_path / "boxes.json", COCO))
    inputs = [frame("data/val/a.jpg"), frame("data/val/c.jpg"), frame("other/d.jpg")]
    assert boxes.match([item.source for item in inputs]) == 2  # those of b.jpg
    assert [boxes(item).tolist() for item in inputs] == [[[1, 2, 11, 22, 1]], [], []]
    assert [boxes.image_id(item) for item in inputs] == [7, 11, None]


def test_coco_detections(tmp_path):
    entries = [
        dict(image_id=139, bbox=[1, 2, 10, 20], score=0.9, category_id=1),
        dict(image_id=139, bbox=[1, 2, 10, 20], score=0.1),
        dict(file_name="b.jpg", bbox=[0, 0, 3, 5], score=0.5),
    ]
    boxes = FromFile(write(tmp_path / "boxes.json", entries))
    inputs = [frame("val2017/000000000139.jpg"), frame("x/b.jpg")]
    assert boxes.match([item.source for item in inputs]) == 0
    assert boxes(inputs[0]).tolist() == [[1, 2, 11, 22, pytest.approx(0.9)]]
    assert boxes(inputs[1]).tolist() == [[0, 0, 3, 5, 0.5]]
    assert boxes.image_id(inputs[0]) == 139
    assert len(FromFile(tmp_path / "boxes.json", threshold=0).boxes["139"]) == 2


def test_boxes_by_file_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"people/a.jpg": [[0, 0, 5, 5]], "clip.mp4": [[[0, 0, 1, 1]], [], [[1, 1, 2, 2, 0.8]]]}
    boxes = FromFile(write(tmp_path / "boxes.json", content))
    (tmp_path / "people").mkdir()
    monkeypatch.chdir(tmp_path / "people")  # the file's name is longer than the input's
    inputs = [frame("a.jpg"), *(frame("clip.mp4", index, "video") for index in range(4))]
    assert boxes.match([inputs[0].source, inputs[1].source]) == 0
    assert [boxes(item)[:, 3].tolist() for item in inputs] == [[5], [1], [], [2], []]


def test_boxes_of_other_images(tmp_path):
    boxes = FromFile(write(tmp_path / "boxes.json", COCO))
    with pytest.raises(UserError, match=r"must name an input, but none of its 3 names .*val/a\.jpg.*x\.jpg\): check"):
        boxes.match([Source("x.jpg", "image")])


def test_boxes_of_a_video_by_its_name_are_those_of_every_frame(tmp_path):
    boxes = FromFile(write(tmp_path / "boxes.json", {"clip.mp4": [[0, 0, 5, 7], [1, 1, 9, 9]]}))
    frames = [frame("clip.mp4", index, "video") for index in range(3)]
    assert boxes.match([frames[0].source]) == 0
    assert [boxes(item)[:, 3].tolist() for item in frames] == [[7, 9]] * 3


def test_a_name_of_two_inputs(tmp_path):
    boxes = FromFile(write(tmp_path / "boxes.json", {"1.jpg": [[0, 0, 5, 5]]}))
    with pytest.raises(UserError, match=r"1\.jpg ends those of a/1\.jpg and b/1\.jpg: use longer names, with folders"):
        boxes.match([Source("a/1.jpg", "image"), Source("b/1.jpg", "image")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not json"),
        ("3", "must have COCO annotations, COCO detections, or boxes by file name"),
        ('[{"bbox": [1, 2, 3, 4]}]', "an entry does not fit"),
        ('{"a.jpg": [[0, 0, 5, 5]], "b.jpg": [[5, 5, 5, 9]]}', r"boxes\.json, b\.jpg, must give boxes .* but gave \[5"),
        ('{"a.mp4": [[[0, 0, 5, 5]], [[5, 5, 5, 9]]]}', r"boxes\.json, a\.mp4, must give boxes .* but gave \[5"),
        ('{"a.jpg": [[0, 0, 5, 5, 0.9, 1]]}', r"a\.jpg, must give boxes \(P, 4\) or \(P, 5\)"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}', "an entry does not fit"),
    ],
)
def test_wrong_files(content, message, tmp_path):
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(UserError, match=message):
        FromFile(tmp_path / "boxes.json")
    with pytest.raises(UserError, match="does not exist"):
        FromFile(tmp_path / "other.json")


def test_a_detector_of_mmdetection(tmp_path):
    """With random weights, because there are no others here: persons above the score, without duplicates."""
    config = f"{mmdet.__path__[0]}/.mim/configs/rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
    (tmp_path / "detector.py").write_text(
        f"_base_ = {config!r}\nmodel = dict(backbone=dict(init_cfg=None))\ntest_cfg = None\n"
    )
    torch.manual_seed(0)
    detector = FromDetector(str(tmp_path / "detector.py"), None, threshold=0.0)
    boxes = detector(frame("a.jpg", size=(96, 128)))
    assert boxes.ndim == 2
    assert boxes.shape[1] == 5
    strict = FromDetector(str(tmp_path / "detector.py"), None, threshold=0.999)
    assert strict(frame("a.jpg", size=(96, 128))).shape == (0, 5)
    with pytest.raises(UserError, match=r"The detector's config nowhere\.py does not exist"):
        FromDetector("nowhere.py", None)


KEYPOINTS = ["nose", "left_hand", "right_hand"]
PERSON = dict(id=4, name="person", keypoints=KEYPOINTS)
DOG = dict(id=5, name="dog", keypoints=["nose"] * 20)


@pytest.mark.parametrize(
    ("found", "descriptions", "wanted", "expected"),
    [
        ([1, 3, 62], [], None, {1}),
        ([7], [], None, {7}),
        ([0, 3], [], 3, {3}),
        ([4, 5], [PERSON, dict(id=5, name="ball")], None, {4}),
        ([4, 5], [PERSON, dict(PERSON, id=5, name="child")], None, {4, 5}),
        ([4, 5], [PERSON, DOG], None, {4}),
        ([2], [dict(id=2, name="person", keypoints=[])], None, {2}),
        ([1, 2], [dict(id=1, name="ball"), dict(id=2, name="Person")], None, {2}),
        ([1], [PERSON, dict(id=1, name="ball")], None, {4}),
        ([1, 2], [dict(id=1, name="a"), dict(id=2, name="b")], None, {1}),
        ([], [], None, {1}),
    ],
)
def test_the_categories_of_the_model_are_chosen(found, descriptions, wanted, expected):
    assert choose_categories(found, descriptions, KEYPOINTS, wanted, "The box file a.json") == expected


@pytest.mark.parametrize(
    ("found", "descriptions", "wanted", "message"),
    [
        ([3, 62], [], None, "a.json has boxes of the categories 3, 62, and none is 1: choose one with --category"),
        ([1, 3], [], 2, "a.json must have boxes of category 2, but has those of 1, 3: choose another"),
        (
            [5],
            [dict(id=5, name="dog", keypoints=["nose"] * 20)],
            None,
            "the 3 keypoints of the model, but category dog has 20",
        ),
    ],
)
def test_categories_that_do_not_fit_are_a_sentence(found, descriptions, wanted, message):
    with pytest.raises(UserError, match=message):
        choose_categories(found, descriptions, KEYPOINTS, wanted, "The box file a.json")


def test_boxes_of_other_categories_are_left_out_and_counted(tmp_path, reliability):
    boxes = [dict(image_id=1, category_id=c, bbox=[c, 2, 10, 20], score=0.9) for c in (1, 62, 1, 3, 62)]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    provider = FromFile(tmp_path / "boxes.json")
    source = Source("000000000001.jpg", "image")
    assert provider.match([source], KEYPOINTS) == 0
    assert provider.others == {"62": 2, "3": 1}
    frame = Frame(source, 0, np.zeros((50, 40, 3), np.uint8))
    assert provider(frame)[:, 0].tolist() == [1, 1]
    assert provider.category_ids(frame) == [1, 1]
    chosen = FromFile(tmp_path / "boxes.json", category=62)
    chosen.match([source], KEYPOINTS)
    assert chosen(frame)[:, 0].tolist() == [62, 62]
    fault = "boxes of several categories: of a detector, of persons and balls, of two kinds of persons"
    reliability.row(
        "inputs", fault, 1, "those with the model's keypoints, or persons, are used; the others are counted"
    )

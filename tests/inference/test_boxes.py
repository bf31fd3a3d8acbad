from __future__ import annotations

import json

import mmdet
import numpy as np
import pytest
import torch

from tfpose_mm.errors import UserError
from tfpose_mm.inference import FromDetector
from tfpose_mm.inference.boxes import choose_categories, find_boxes
from tfpose_mm.inference.sources import Frame, Source

KEYPOINTS = ["nose", "left_hand", "right_hand"]
PERSON = dict(id=4, name="person", keypoints=KEYPOINTS)
DOG = dict(id=5, name="dog", keypoints=["nose"] * 20)


def frame(name, index=0, kind="image", size=(60, 80)):
    return Frame(Source(name, kind, 3), index, np.zeros((*size, 3), np.uint8))


def open_boxes(path, content, *frames, **options):
    """Write a box file and find the boxes of some frames."""
    path.write_text(json.dumps(content))
    boxes = find_boxes(path, [item.source for item in frames], KEYPOINTS, **options)
    return boxes, [boxes.find(item).tolist() for item in frames]


def test_the_whole_image():
    assert find_boxes(None, []).find(frame("a.jpg")).tolist() == [[0, 0, 80, 60, 1, 1]]


def test_a_function():
    boxes = find_boxes(lambda image: [[1, 2, image.shape[1], 9]], []).find(frame("a.jpg"))
    assert boxes.tolist() == [[1, 2, 80, 9, 1, 1]]
    assert find_boxes(lambda image: [[1, 2, 3, 4, 0.5]], []).find(frame("a.jpg")).tolist() == [[1, 2, 3, 4, 0.5, 1]]
    assert find_boxes(lambda image: [], []).find(frame("a.jpg")).shape == (0, 6)
    for wrong in ([1, 2, 3, 4], [[1, 2, 3]], [["a"] * 4], [[5, 5, 5, 9]], [[0, 0, float("nan"), 1]]):
        with pytest.raises(UserError, match=r"The box function, for a\.jpg, must give boxes"):
            find_boxes(lambda image, wrong=wrong: wrong, []).find(frame("a.jpg"))


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


def test_coco_annotations(tmp_path, monkeypatch):
    (tmp_path / "val").mkdir()
    monkeypatch.chdir(tmp_path / "val")  # the name in the file is longer than that of the input
    boxes, found = open_boxes(tmp_path / "boxes.json", COCO, frame("a.jpg"), frame("c.jpg"), frame("other/d.jpg"))
    assert boxes.unmatched == 2  # those of b.jpg
    assert found == [[[1, 2, 11, 22, 1, 1]], [], []]
    assert boxes.image_ids == {"a.jpg": 7, "c.jpg": 11}


def test_coco_detections(tmp_path):
    entries = [
        dict(image_id=139, bbox=[1, 2, 10, 20], score=0.9, category_id=1),
        dict(image_id=139, bbox=[1, 2, 10, 20], score=0.1),
        dict(file_name="b.jpg", bbox=[0, 0, 3, 5], score=0.5, frame=4),  # an image has no frames
        dict(file_name="elsewhere.jpg", bbox=[0, 0, 3, 5], score=0.5),
    ]
    inputs = [frame("val2017/000000000139.jpg"), frame("x/b.jpg")]
    boxes, found = open_boxes(tmp_path / "boxes.json", entries, *inputs)
    assert found == [[[1, 2, 11, 22, 0.9, 1]], [[0, 0, 3, 5, 0.5, 1]]]
    assert (boxes.unmatched, boxes.image_ids) == (1, {inputs[0].source.name: 139})
    assert len(open_boxes(tmp_path / "boxes.json", entries, *inputs, threshold=0)[1][0]) == 2


def test_boxes_of_a_video_are_those_of_a_frame_or_of_every_frame(tmp_path):
    entries = [
        dict(file_name="clip.mp4", frame=0, bbox=[0, 0, 1, 1], score=1),
        dict(file_name="clip.mp4", frame=2, bbox=[1, 1, 1, 2], score=1),
        dict(file_name="clip.mp4", bbox=[0, 0, 5, 7], score=1),
    ]
    frames = [frame("clip.mp4", index, "video") for index in range(4)]
    _, found = open_boxes(tmp_path / "boxes.json", entries, *frames)
    assert [[box[3] for box in boxes] for boxes in found] == [[1, 7], [7], [3, 7], [7]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not json"),
        ("3", "must have COCO annotations or COCO detections, but an entry does not fit"),
        ('[{"bbox": [1, 2, 3, 4]}]', "an entry does not fit"),
        ('{"a.jpg": [[0, 0, 5, 5]]}', "an entry does not fit"),
        ('[{"file_name": "b.jpg", "bbox": [5, 5, 0, 9], "score": 1}]', r"b\.jpg, must give boxes .* but gave \[5"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}', "an entry does not fit"),
        (json.dumps(COCO), r"must name an input, but none of its 3 names .*val/a\.jpg.*a/1\.jpg\): check"),
        ('[{"file_name": "1.jpg", "bbox": [0, 0, 5, 5], "score": 1}]', r"1\.jpg ends those of a/1\.jpg and b/1\.jpg: "),
    ],
)
def test_wrong_files(content, message, tmp_path):
    sources = [Source("a/1.jpg", "image"), Source("b/1.jpg", "image")]
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(UserError, match=message):
        find_boxes(tmp_path / "boxes.json", sources)
    with pytest.raises(UserError, match="does not exist"):
        find_boxes(tmp_path / "other.json", sources)


def test_a_detector_of_mmdetection(tmp_path):
    """With random weights, because there are no others here: persons above the score, without duplicates."""
    config = f"{mmdet.__path__[0]}/.mim/configs/rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
    (tmp_path / "detector.py").write_text(
        f"_base_ = {config!r}\nmodel = dict(backbone=dict(init_cfg=None))\ntest_cfg = None\n"
    )
    torch.manual_seed(0)
    detector = FromDetector(str(tmp_path / "detector.py"), None, threshold=0.0)
    image = np.zeros((96, 128, 3), np.uint8)
    boxes = detector(image)
    assert boxes.ndim == 2
    assert boxes.shape[1] == 5
    detector.threshold = 0.999
    assert detector(image).shape == (0, 5)
    with pytest.raises(UserError, match=r"The detector's config nowhere\.py does not exist"):
        FromDetector("nowhere.py", None)


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
        ([3, 62], [], None, "a.json has boxes of the categories 3, 62, and none is 1: choose one with --category"),
        ([1, 3], [], 2, "a.json must have boxes of category 2, but has those of 1, 3: choose another"),
        ([5], [DOG], None, "the 3 keypoints of the model, but category dog has 20"),
    ],
)
def test_the_categories_of_the_model_are_chosen(found, descriptions, wanted, expected):
    if isinstance(expected, set):
        assert choose_categories(found, descriptions, KEYPOINTS, wanted, "The box file a.json") == expected
        return
    with pytest.raises(UserError, match=expected):
        choose_categories(found, descriptions, KEYPOINTS, wanted, "The box file a.json")


def test_boxes_of_other_categories_are_left_out_and_counted(tmp_path, reliability):
    entries = [dict(image_id=1, category_id=c, bbox=[c, 2, 10, 20], score=0.9) for c in (1, 62, 1, 3, 62)]
    boxes, (found,) = open_boxes(tmp_path / "boxes.json", entries, frame("000000000001.jpg"))
    assert (boxes.unmatched, boxes.others) == (0, {"62": 2, "3": 1})
    assert [(box[0], box[5]) for box in found] == [(1, 1), (1, 1)]
    _, (chosen,) = open_boxes(tmp_path / "boxes.json", entries, frame("000000000001.jpg"), category=62)
    assert [(box[0], box[5]) for box in chosen] == [(62, 62), (62, 62)]
    fault = "boxes of several categories: of a detector, of persons and balls, of two kinds of persons"
    reliability.row(
        "inputs", fault, 1, "those with the model's keypoints, or persons, are used; the others are counted"
    )

from __future__ import annotations

import json

import mmdet
import numpy as np
import pytest

from tfpose_mm.errors import UserError
from tfpose_mm.inference import FromDetector
from tfpose_mm.inference.boxes import find_boxes
from tfpose_mm.inference.sources import Frame, Source

PERSON = dict(id=4, name="person", keypoints=["nose", "left_hand", "right_hand"])
DOG = dict(id=5, name="dog", keypoints=["nose"] * 20)


def frame(name, index=0, fps=None):
    return Frame(Source(name, "image" if fps is None else "video", fps=fps), index, np.zeros((60, 80, 3), np.uint8))


def find(boxes, *frames, threshold=0.3, category=None):
    """The boxes of some frames for a model with 3 keypoints."""
    found = find_boxes(boxes, [item.source for item in frames], 3, threshold, category)
    return found, [found.find(item).tolist() for item in frames]


def write(folder, content):
    (folder / "boxes.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "boxes.json"


def test_boxes_without_a_file():
    for boxes, expected in (
        (None, [[0, 0, 80, 60, 1, 1]]),
        (np.array([[1, 2, 3, 4]]), [[1, 2, 3, 4, 1, 1]]),
        (lambda image: [[1, 2, image.shape[1], 9, 0.5]], [[1, 2, 80, 9, 0.5, 1]]),
        (lambda image: [], []),
    ):
        assert find(boxes, frame("a.jpg"))[1] == [expected]
    for wrong in (3, [1, 2, 3, 4], [[1, 2, 3]], [["a"] * 4], [[5, 5, 5, 9]], [[0, 0, np.nan, 1]]):
        with pytest.raises(UserError, match="The boxes must give"):
            find(wrong, frame("a.jpg"))
    with pytest.raises(UserError, match=r"The box function, for a\.jpg, must give boxes \(P, 4\) or"):
        find(lambda image: [[1, 2, 3]], frame("a.jpg"))


def test_coco_annotations(tmp_path, monkeypatch):
    content = dict(
        images=[dict(id=number, file_name=f"val/{name}.jpg") for number, name in ((7, "a"), (9, "b"), (11, "c"))],
        annotations=[
            dict(image_id=7, bbox=[1, 2, 10, 20]),
            dict(image_id=7, bbox=[5, 5, 10, 10], iscrowd=1),
            dict(image_id=7, bbox=[5, 5, 0, 10]),
            dict(image_id=9, bbox=[0, 0, 4, 4]),
        ],
    )
    path = write(tmp_path, content)
    (tmp_path / "val").mkdir()
    monkeypatch.chdir(tmp_path / "val")  # the name in the file is longer than that of the input
    boxes, found = find(path, frame("a.jpg"), frame("c.jpg"), frame("other/d.jpg"))
    assert found == [[[1, 2, 11, 22, 1, 1]], [], []]
    assert boxes.image_ids == {"a.jpg": 7, "c.jpg": 11}
    assert boxes.notes == ["1 boxes of the file belong to no input."]


def test_coco_detections(tmp_path):
    entries = [
        dict(image_id=139, bbox=[1, 2, 10, 20], score=0.9, category_id=1),
        dict(image_id=139, bbox=[1, 2, 10, 20], score=0.1),
        dict(file_name="b.jpg", bbox=[0, 0, 3, 5], score=0.5, frame=4),  # an image has no frames
    ]
    inputs = [frame("val2017/000000000139.jpg"), frame("x/b.jpg")]
    boxes, found = find(write(tmp_path, entries), *inputs)
    assert found == [[[1, 2, 11, 22, 0.9, 1]], [[0, 0, 3, 5, 0.5, 1]]]
    assert boxes.image_ids == {inputs[0].source.name: 139}
    assert boxes.notes == ["1 boxes are left out, because their score is below 0.3 (--box-threshold)."]
    assert len(find(write(tmp_path, entries), *inputs, threshold=0)[1][0]) == 2


def test_boxes_of_a_video_are_those_of_a_frame_or_of_every_frame(tmp_path):
    entries = [
        dict(file_name="clip.mp4", frame=0, bbox=[0, 0, 1, 1], score=1),
        dict(file_name="clip.mp4", frame=2, bbox=[1, 1, 1, 2], score=1),
        dict(file_name="clip.mp4", bbox=[0, 0, 5, 7], score=1),
    ]
    _, found = find(write(tmp_path, entries), *(frame("clip.mp4", index, 30.0) for index in range(4)))
    assert [[box[3] for box in boxes] for boxes in found] == [[1, 7], [7], [3, 7], [7]]


def test_wrong_files(tmp_path):
    for content, message in (
        ("{", r"must be json with COCO annotations .* \(JSONDecodeError"),
        ("3", "does not fit"),
        ('[{"bbox": [1, 2, 3, 4]}]', "does not fit"),
        ('{"a.jpg": [[0, 0, 5, 5]]}', "does not fit"),
        ('[{"file_name": "b.jpg", "bbox": [5, 5, 0, 9], "score": 1}]', r"b\.jpg, must give boxes .* but gave \[\[5"),
        ('[{"file_name": "b.jpg", "bbox": [0, 0, 5, 5], "score": 1}]', r"none of its 1 names .*b\.jpg.*a/1\.jpg\)"),
        ('[{"file_name": "1.jpg", "bbox": [0, 0, 5, 5], "score": 1}]', r"1\.jpg ends those of a/1\.jpg and b/1\.jpg: "),
    ):
        with pytest.raises(UserError, match=message):
            find(write(tmp_path, content), frame("a/1.jpg"), frame("b/1.jpg"))


@pytest.mark.parametrize(
    ("found", "descriptions", "wanted", "expected"),
    [
        ([1, 3, 62], [], None, {1}),
        ([7], [], None, {7}),
        ([0, 3], [], 3, {3}),
        ([4, 6], [PERSON, dict(id=6, name="ball")], None, {4}),
        ([4, 6], [PERSON, dict(PERSON, id=6, name="child")], None, {4, 6}),
        ([4, 5], [PERSON, DOG], None, {4}),
        ([1, 2], [dict(id=1, name="ball"), dict(id=2, name="Person")], None, {2}),
        ([1], [PERSON, dict(id=1, name="ball")], None, set()),
        ([3, 62], [], None, "must have boxes of category 1, but has those of 3, 62: choose one with --category"),
        ([1, 3], [], 0, "must have boxes of category 0, but has those of 1, 3: choose one"),
    ],
)
def test_the_categories_of_the_model_are_chosen(found, descriptions, wanted, expected, tmp_path, reliability):
    annotations = [dict(image_id=1, category_id=number, bbox=[number, 2, 10, 20]) for number in found]
    images = [dict(id=1, file_name="a.jpg")]
    path = write(tmp_path, dict(images=images, annotations=annotations, categories=descriptions))
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            find(path, frame("a.jpg"), category=wanted)
        return
    boxes, (chosen,) = find(path, frame("a.jpg"), category=wanted)
    assert {box[5] for box in chosen} == {box[0] for box in chosen} == expected
    names = {entry["id"]: entry["name"] for entry in descriptions}
    others = ", ".join(f"{names.get(number, number)}: 1" for number in found if number not in expected)
    assert "".join(boxes.notes) == (others and f"Boxes of other categories are left out (category: number): {others}.")
    fault = "boxes of several categories: of a detector, of persons and balls, of two kinds of persons"
    outcome = "those with the model's keypoints, or persons, are used; the others are counted"
    reliability.row("inputs", fault, 1, outcome)


def test_a_detector_of_mmdetection(tmp_path):
    """With random weights, because there are no others here: persons above the score, without duplicates."""
    config = f"{mmdet.__path__[0]}/.mim/configs/rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
    (tmp_path / "detector.py").write_text(f"_base_ = {config!r}\nmodel = dict(backbone=dict(init_cfg=None))\n")
    detector = FromDetector(str(tmp_path / "detector.py"), None, threshold=0.0)
    image = np.zeros((96, 128, 3), np.uint8)
    assert detector(image).shape[1:] == (5,)
    detector.threshold = 0.999
    assert detector(image).shape == (0, 5)
    with pytest.raises(UserError, match=r"The detector's config nowhere\.py does not exist"):
        FromDetector("nowhere.py", None)

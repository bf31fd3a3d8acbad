from __future__ import annotations

import json
import logging
import re
import shutil

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS, METRICS
from torch.utils.data import DataLoader

from tests.datasets.broken import check_sample, dataset_config, with_half_body
from tfpose_mm.datasets import checked_dataset
from tfpose_mm.datasets.annotation_checks import inspect_annotations
from tfpose_mm.datasets.image_files import LARGEST
from tfpose_mm.datasets.synthetic import write_dataset
from tfpose_mm.errors import UserError


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """Nine instances in five images."""
    out = tmp_path_factory.mktemp("crowded") / "people"
    write_dataset(out, train=5, val=2, seed=5, workers=2)

    def add_instances(content):
        for number, row in zip((6, 7, 8, 9), (0, 0, 2, 3)):
            keypoints = np.array(content["annotations"][row]["keypoints"]).reshape(17, 3)
            keypoints[keypoints[:, 2] > 0, :2] += number - 5
            other = dict(content["annotations"][row], id=number, keypoints=keypoints.ravel().tolist())
            content["annotations"].append(other)

    edit(out, add_instances)
    return out


@pytest.fixture
def data(crowded, tmp_path):
    """A copy to break."""
    shutil.copytree(crowded, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def logged(monkeypatch):
    """What the data set logs: (level, text)."""
    lines = []
    monkeypatch.setattr(checked_dataset, "print_log", lambda text, logger, level: lines.append((level, text)))
    return lines


def edit(data, change, split="train"):
    """Change the annotation file with a function of its content."""
    file = data / f"annotations/person_keypoints_{split}.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def build(data, split="train", **changes):
    config = dataset_config("train")
    config.update(
        ann_file=str(data / f"annotations/person_keypoints_{split}.json"),
        data_prefix=dict(img=str(data / split)),
        **changes,
    )
    return DATASETS.build(config)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for values in zip(one, other):
            assert_same(*values)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("mode", ["topdown", "bottomup"])
@pytest.mark.parametrize("test_mode", [False, True])
def test_good_data_is_what_mmpose_makes_of_it(data, mode, test_mode, logged):
    def add_what_mmpose_leaves_out(content):
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"][1].update(keypoints=[0] * 51, num_keypoints=0)

    edit(data, add_what_mmpose_leaves_out)
    changes = dict(data_mode=mode, test_mode=test_mode, pipeline=[])
    ours, theirs = build(data, **changes), build(data, **changes, type="CocoDataset")
    assert_same(ours.data_list, theirs.data_list)
    assert_same(ours.metainfo, theirs.metainfo)
    ((level, text),) = logged
    assert level == logging.INFO
    if mode == "topdown":
        assert len(ours) == 7
        expected = "7 instances are used; of 9 annotations, 1 crowds, 1 without labelled keypoints are left out"
        assert text.endswith(expected)


def test_faulty_rows_are_left_out_and_counted(data, logged):
    def spoil(content):
        for row in (0, 2, 3):
            content["annotations"][row]["bbox"][1] = float("nan")
        content["annotations"][4]["keypoints"][2] = 3

    file = edit(data, spoil)
    ids = [info["id"] for info in build(data).data_list]
    assert sorted(ids) == [2, 5, 6, 7, 8, 9]
    assert [level for level, _ in logged] == [logging.WARNING] * 3
    texts = [text for _, text in logged]
    assert texts[0].startswith(f"{file}: left out: bbox_type: 3 in rows 0, 2, 3; bbox must be a list")
    assert texts[1].startswith(
        f"{file}: used: visibility_unknown: 1 in row 4; v should be 0, 1 or 2, but that of keypoint 0 is 3"
    )
    assert texts[2] == f"{file}: 6 instances are used; of 9 annotations, 3 faulty are left out"


@pytest.mark.parametrize("part", ["upper", "lower"])
def test_half_body_crops_need_an_extent(data, part):
    """RandomHalfBody makes a crop of size 0 from keypoints at one place, and so targets that are NaN."""

    def spoil(content):
        for row, most in ((0, 17), (1, 7)):
            annotation = content["annotations"][row]
            x, y, width, height = annotation["bbox"]
            points = [[x + j * width / 20, y + j * height / 20, 2] for j in range(17)]
            for j in range(11) if part == "upper" else range(11, 17):
                points[j][:2] = [x + 5, y + 5]
            points[most:] = [[0, 0, 0]] * (17 - most)
            annotation.update(keypoints=[number for point in points for number in point], num_keypoints=most)

    edit(data, spoil)
    pipeline = with_half_body(dataset_config("train")["pipeline"], prob=1.0)
    ours = build(data, pipeline=pipeline)
    for sample in ours:
        check_sample(sample)
    ids = [info["id"] for info in ours.data_list]
    # row 1 has too few labelled keypoints for RandomHalfBody, but those of the upper body are all that it has
    assert sorted(set(range(1, 10)) - set(ids)) == ([1, 2] if part == "upper" else [1])
    assert len(build(data)) >= len(ours)  # the demo has prob=0
    theirs = build(data, pipeline=pipeline, type="CocoDataset")
    with np.errstate(all="ignore"):
        labels = [theirs[0]["data_samples"].gt_instance_labels.keypoint_labels for _ in range(30)]
    assert not all(label.isfinite().all() for label in labels)  # the part is chosen at random


def test_a_faulty_image_entry_is_left_out(data, logged):
    """So are its instances."""
    file = edit(data, lambda content: content["images"][0].update(width=0))
    content = json.loads(file.read_text())
    count = sum(row["image_id"] != content["images"][0]["id"] for row in content["annotations"])
    assert len(build(data).data_list) == count < 9
    assert "left out: image_size: 1 in row 0; in 'images', width must be" in logged[0][1]


def test_a_refusal_names_file_row_and_tool(data):
    file = edit(data, lambda content: content["annotations"][5].update(id=1))
    with pytest.raises(UserError) as raised:
        build(data)
    assert str(raised.value) == (
        f"{file}, row 5: each annotation must have its own id, but 1 is also the id of row 0: number the annotations "
        "again ('tfpose check-data CONFIG' lists all faults)."
    )


@pytest.mark.parametrize(
    ("spoil", "left_out"),
    [
        (dict(bbox=[5, 5, 0, 9]), True),  # as MMPose: counts as a miss
        (dict(bbox=[5000, 5, 9, 9]), True),
        (dict(bbox=[5, 5, 9, float("nan")]), False),
        (dict(bbox=None), False),
        (dict(area=float("nan")), False),
        (dict(keypoints=[float("inf")] * 51), False),
        (dict(image_id=123456), False),
    ],
)
def test_a_test_leaves_out_only_what_mmpose_leaves_out(data, spoil, left_out, logged):
    edit(data, lambda content: content["annotations"][3].update(spoil))
    assert len(build(data)) == 8  # a training
    if left_out:
        ours, theirs = (build(data, test_mode=True, pipeline=[], **kind) for kind in ({}, dict(type="CocoDataset")))
        assert_same(ours.data_list, theirs.data_list)
        assert any("left out, and AP counts them as missed: bbox_" in text for _, text in logged)
    else:
        with pytest.raises(UserError, match=r"row 3: .*; the metric of a test uses this row \("):
            build(data, test_mode=True)


def test_an_area_is_needed_in_tests(data):
    """CocoMetric fails without it, after the last batch; its use_area=False needs none."""
    for change in (lambda row: row.update(area=0), lambda row: row.update(area=-1), lambda row: row.pop("area")):
        edit(data, lambda content, change=change: change(content["annotations"][3]))
        assert len(build(data)) == 9
        with pytest.raises(UserError, match=r"row 3: area should be"):
            build(data, test_mode=True)
        assert len(build(data, test_mode=True, use_area=False)) == 9


def test_missing_images(data, logged):
    images = sorted((data / "train").iterdir())
    images[0].unlink()
    left = build(data)
    assert {info["img_path"] for info in left.data_list} == {str(path) for path in images[1:]}
    assert any(
        f"1 of {len(images)} images are missing, as '{images[0]}': their instances" in text for _, text in logged
    )
    with pytest.raises(UserError, match=f"all images of a test must exist, but 1 of {len(images)} are missing"):
        build(data, test_mode=True)

    for path in images[1 : len(images) // 2 + 1]:
        path.unlink()
    with pytest.raises(UserError) as raised:
        build(data)
    assert f"missing in the folder '{data / 'train'}', as '{images[0]}': correct data_root" in str(raised.value)


def test_a_missing_folder_of_images(data):
    shutil.rmtree(data / "train")
    with pytest.raises(UserError, match="are missing in the folder"):
        build(data)
    assert len(build(data, pipeline=[])) == 9  # nothing reads the images
    remote = [dict(type="LoadImage", backend_args=dict(backend="local"))]
    assert len(build(data, pipeline=remote)) == 9  # files of other storage cannot be listed


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff\xe0" + b"\0" * 50, None])
def test_an_image_that_cannot_be_read(data, content):
    dataset = build(data)
    info = dataset.get_data_info(2)
    path = info["img_path"]
    if content is None:
        (data / "train" / path).unlink()
    else:
        (data / "train" / path).write_bytes(content)
    with pytest.raises(UserError) as raised:
        dataset[2]
    assert str(raised.value).startswith(f"{path} ({dataset.ann_file}, annotation id {info['id']}): the image must be ")
    assert "copy the image" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is not None


def test_a_transform_that_fails(data):
    dataset = build(data, pipeline=[dict(type="LoadImage"), dict(type="TopdownAffine", input_size=(96, 128))])
    with pytest.raises(UserError, match=r"annotation id 1\): the pipeline must succeed, but fails with 'KeyError"):
        dataset[0]


def test_a_sample_that_is_not_finite(data):
    dataset = build(data)
    dataset.data_list[0]["keypoints"][0, 3] = np.nan  # as a transform may give it
    with pytest.raises(UserError, match=r"annotation id 1\): the pipeline must give finite numbers, but gt_instances"):
        dataset[0]


def test_errors_in_worker_processes(data):
    dataset = build(data, indices=1)
    (data / "train" / dataset.get_data_info(0)["img_path"]).write_bytes(b"")
    loader = DataLoader(dataset, num_workers=1, collate_fn=list)
    with pytest.raises(UserError, match="the image must be readable"):
        list(loader)


def test_no_instance_left_by_mmpose(data):
    with pytest.raises(UserError, match="MMPose uses none of 9 annotations: correct sample_interval"):
        build(data, sample_interval=1000)


def test_subsets_and_lazy_loading(data):
    assert len(build(data, indices=4)) == 4
    lazy = build(data, lazy_init=True)
    assert isinstance(lazy, BaseDataset)
    check_sample(lazy[0])
    assert len(lazy) == 9


@pytest.fixture
def boxes(data):
    """Detections for the images of the training split."""
    content = json.loads((data / "annotations/person_keypoints_train.json").read_text())
    rows = [
        dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.1 * a["id"]) for a in content["annotations"]
    ]
    rows.append(dict(rows[0], category_id=2))
    return rows


def build_with_boxes(data, boxes, **changes):
    (data / "boxes.json").write_text(json.dumps(boxes))
    config = dataset_config("val")
    config.update(
        ann_file=str(data / "annotations/person_keypoints_train.json"),
        data_prefix=dict(img=str(data / "train")),
        bbox_file=str(data / "boxes.json"),
        **changes,
    )
    return DATASETS.build(config)


@pytest.mark.parametrize("with_annotations", [True, False])
def test_good_boxes_are_what_mmpose_makes_of_them(data, boxes, with_annotations, logged):
    if not with_annotations:  # COCO's test-dev
        edit(data, lambda content: content.pop("annotations"))
    ours = build_with_boxes(data, boxes)
    assert_same(ours.data_list, build_with_boxes(data, boxes, type="CocoDataset").data_list)
    assert len(ours) == 9
    check_sample(ours[8])
    assert "9 boxes are used" in logged[-1][1]


def test_boxes_without_area_are_left_out(data, boxes, logged):
    boxes[2]["bbox"][2] = 0
    boxes[5]["score"] = float("nan")
    dataset = build_with_boxes(data, boxes)
    assert len(dataset) == 7
    assert [text.partition(": left out: ")[2].partition(";")[0] for _, text in logged[:2]] == [
        "box_numbers: 1 in row 2",
        "box_score: 1 in row 5",
    ]


def test_boxes_of_another_data_set(data, boxes):
    boxes[3]["image_id"] = 123456
    with pytest.raises(UserError, match=r"boxes\.json, row 3: image_id must be the id of an image of ann_file"):
        build_with_boxes(data, boxes)


def test_a_missing_image_of_a_box(data, boxes):
    dataset = build_with_boxes(data, boxes)
    (data / "train" / dataset.get_data_info(4)["img_path"]).unlink()
    with pytest.raises(UserError, match=r"boxes\.json, box 4\): the image must be a file"):
        dataset[4]


@pytest.mark.parametrize("change", [dict(indices=3), dict(sample_interval=2), dict(indices=[1])], ids=str)
def test_a_test_of_a_part_counts_only_the_part(people, change, reliability):
    """The predictions are the annotations, so AP is 1."""
    dataset, metric = build(people, **change, test_mode=True), METRICS.build(dict(type="CocoMetric"))
    assert 0 < len(dataset) < 9
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        sample, info = dataset[index]["data_samples"], dataset.get_data_info(index)
        sample.pred_instances = InstanceData(keypoints=info["keypoints"], keypoint_scores=info["keypoints_visible"])
        metric.process({}, [sample.to_dict()])
    assert metric.evaluate(len(dataset))["coco/AP"] == pytest.approx(1)
    reliability.row("inputs", "a test with indices or sample_interval", 1, "AP of the chosen part; a line in the log")


def test_a_part_of_detected_boxes_is_refused(data):
    boxes = data / "boxes.json"
    boxes.write_text(json.dumps([dict(image_id=1, category_id=1, bbox=[5, 5, 50, 90], score=0.9)]))
    with pytest.raises(UserError, match="A test on detected boxes needs all of them, but the data set has indices or"):
        build(data, bbox_file=str(boxes), indices=1, test_mode=True)


@pytest.mark.parametrize("value", [None, float("nan")])
@pytest.mark.parametrize("test_mode", [False, True])
def test_null_and_nan_where_v_is_0_are_not_labelled(data, value, test_mode, logged, reliability):
    """In a test null is refused: CocoMetric reads the file itself."""

    def change(content):
        for row, keypoint in ((0, 3), (4, 5)):
            content["annotations"][row]["keypoints"][3 * keypoint : 3 * keypoint + 3] = [value, value, 0]

    edit(data, change)
    if test_mode:
        with pytest.raises(UserError, match="x and y should be numbers also where v is 0, but are null or NaN"):
            build(data, test_mode=True)
        return
    dataset = build(data)
    assert len(dataset) == 9
    assert not dataset.get_data_info(0)["keypoints_visible"][0, 3]
    assert any("keypoints_null" in text for _, text in logged)
    fault = "keypoints with null or NaN where v is 0"
    reliability.row("inputs", fault, 1, "not labelled, counted and said; a test refuses them in a sentence")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda k: np.reshape(k, (17, 3)).tolist(),
            "keypoints must be one list of numbers x1, y1, v1, x2, ..., but is [[",
        ),
        (
            lambda k: [{"x": 1, "y": 2}],
            "keypoints must be one list of numbers x1, y1, v1, x2, ..., but is [{",
        ),
        (lambda k: np.reshape(k, (17, 3))[:, :2].ravel().tolist(), "but has 34, x and y only: add v"),
    ],
)
def test_keypoints_in_another_form_are_explained(data, change, message, reliability):
    def change_all(content):
        for row in content["annotations"]:
            row["keypoints"] = change(row["keypoints"])

    edit(data, change_all)
    with pytest.raises(UserError, match=re.escape(message)):
        build(data)
    reliability.row("inputs", "keypoints as nested lists, as objects, without v", 1, "a sentence with the right form")


def test_a_category_with_other_keypoints_is_named(data, reliability):
    def change(content):
        content["categories"].append(dict(id=2, name="dog"))
        content["annotations"][3].update(category_id=2, keypoints=[1, 2, 2] * 20)

    edit(data, change)
    content = json.loads((data / "annotations/person_keypoints_train.json").read_text())
    (finding,) = [f for f in inspect_annotations(content, "a.json", 17)[0].findings if f.check == "keypoints_length"]
    assert "but has 60 in category dog: correct or delete the row" in finding.detail
    reliability.row(
        "inputs", "two categories with different numbers of keypoints", 1, "the sentence names the category"
    )


@pytest.mark.parametrize(
    "name",
    [
        r"sub\000000000001.jpg",
        "sub%2F000000000001.jpg",
        "s3://bucket/photos/sub/000000000001.jpg",
        "/data/local-files/?d=sub/000000000001.jpg",
        "/home/somebody/photos/000000000001.jpg",
        "./train/000000000001.jpg",
        "3f2a1b4c-000000000001.jpg",
        "upload/1/3f2a1b4c-000000000001.jpg",
        "file:///home/x/000000000001.jpg",
    ],
)
def test_names_of_annotation_tools_are_explained(data, name, reliability):
    (data / "train/sub").mkdir()
    shutil.copy(data / "train/000000000001.jpg", data / "train/sub")

    def change(content):
        for image in content["images"]:
            image["file_name"] = name

    edit(data, change)
    with pytest.raises(
        UserError, match=r"probably '(sub/)?000000000001\.jpg' is meant, which exists: correct file_name"
    ):
        build(data, pipeline=[dict(type="LoadImage")])
    fault = "file names with backslashes, %2F, storage prefixes, absolute paths, numbers of annotation tools"
    reliability.row("inputs", fault, 1, "the sentence has the name that was looked for and the one that is meant")


def test_an_image_that_is_too_long_is_named_in_training(data):
    cv2.imwrite(str(data / "train/000000000001.jpg"), np.zeros((2, LARGEST + 1, 3), np.uint8))
    dataset = build(data)
    first = next(i for i in range(len(dataset)) if dataset.get_data_info(i)["img_path"].endswith("000000000001.jpg"))
    with pytest.raises(UserError, match=f"no side of the image may be longer than {LARGEST} pixels, but fails with"):
        dataset[first]

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS, METRICS
from torch.utils.data import DataLoader

from tests.datasets.conftest import check_sample, dataset_config
from tfpose_mm.datasets import checked_dataset
from tfpose_mm.errors import UserError

NAN = float("nan")


@pytest.fixture
def data(data):
    """9 instances in 5 images, and 4 images without instances."""
    with data.edit() as content:
        for row, image in zip(content["annotations"], (1, 1, 1, 2, 2, 3, 4, 4, 5)):
            row["image_id"] = image
        for image in content["images"]:
            image.update(width=400, height=400)
    return data


@pytest.fixture
def logged(monkeypatch):
    """What the data set logs: (level, text)."""
    lines = []
    monkeypatch.setattr(checked_dataset, "print_log", lambda text, logger, level: lines.append((level, text)))
    return lines


def build(data, loader="train", boxes=None, **changes):
    config = dataset_config(loader, data_prefix=dict(img=str(data.root / "train")), ann_file=str(data.path()))
    if boxes is not None:
        (data.root / "boxes.json").write_text(json.dumps(boxes))
        changes["bbox_file"] = str(data.root / "boxes.json")
    return DATASETS.build({**config, **changes})


def assert_same(one, other):
    np.testing.assert_equal(one, other)
    assert repr(one) == repr(other)  # has the types


@pytest.mark.parametrize("mode", ["topdown", "bottomup"])
@pytest.mark.parametrize("test_mode", [False, True])
def test_good_data_is_what_mmpose_makes_of_it(data, mode, test_mode, logged):
    with data.edit() as content:
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"][1].update(keypoints=[0] * 51, num_keypoints=0)
    changes = dict(data_mode=mode, test_mode=test_mode, pipeline=[])
    ours, theirs = build(data, **changes), build(data, **changes, type="CocoDataset")
    assert_same(ours.data_list, theirs.data_list)
    assert_same(ours.metainfo, theirs.metainfo)
    used = f"{len(ours)} samples of 9 annotations are used; left out: 1 crowds, 1 without labelled keypoints, 0 faulty"
    assert logged == [(logging.INFO, f"{data.path()}: {used}")]
    assert mode == "bottomup" or len(ours) == 7


def test_faulty_rows_are_left_out_and_counted_or_refused_with_their_place(data, logged):
    with data.edit() as content:
        for row in (0, 2, 3):
            content["annotations"][row]["bbox"][1] = NAN
        content["annotations"][4]["keypoints"][2] = 3
        content["images"][4]["width"] = 0
    assert [info["id"] for info in build(data).data_list] == [2, 5, 6, 7, 8]
    levels, texts = zip(*logged)
    assert set(levels) == {logging.WARNING}
    assert texts[0].startswith(f"{data.path()}: left out: bbox_type: 3 in rows 0, 2, 3; bbox must be a list")
    assert any(": used: visibility_unknown: 1 in row 4; v should be 0, 1 or 2, but keypoint 0 is" in t for t in texts)
    assert "5 samples of 9 annotations are used; left out: 0 crowds, 0 without labelled keypoints, 4 f" in texts[-1]
    with data.edit() as content:
        content["annotations"][5]["id"] = 2
    with pytest.raises(UserError) as raised:
        build(data)
    detail = "each id must occur once, but 2 occurs again: delete the entry or give it its own id"
    assert str(raised.value) == f"{data.path()}, row 5: {detail} ('tfpose check-data CONFIG' lists all faults)."


@pytest.mark.parametrize("box", [[5, 5, 0, 9], [5000, 5, 9, 9]])
def test_a_test_leaves_out_what_mmpose_leaves_out(data, box, logged):
    with data.edit() as content:
        content["annotations"][3]["bbox"] = box
    assert len(build(data)) == 8  # a training
    ours, theirs = (build(data, test_mode=True, pipeline=[], **kind) for kind in ({}, dict(type="CocoDataset")))
    assert_same(ours.data_list, theirs.data_list)
    assert any("left out, and AP counts them as missed: bbox_" in text for _, text in logged)


@pytest.mark.parametrize("fault", [dict(bbox=[5, 5, 9, NAN]), dict(image_id=77), dict(area=NAN), dict(area=0)], ids=str)
def test_a_test_refuses_other_faulty_rows(data, fault):
    """Also one without an area: CocoMetric fails on it after the last batch, unless it has use_area=False."""
    with data.edit() as content:
        content["annotations"][3].update(fault)
    no_area = fault == dict(area=0)
    assert len(build(data)) == (9 if no_area else 8)  # a training
    with pytest.raises(UserError, match=r"row 3: .*; the metric of a test uses this row \("):
        build(data, test_mode=True)
    assert not no_area or len(build(data, test_mode=True, use_area=False)) == 9


def test_missing_images(data, logged):
    images = sorted((data.root / "train").iterdir())
    images[0].unlink()
    left = build(data)
    assert {info["img_path"] for info in left.data_list} == {str(path) for path in images[1:5]}
    assert any(f"1 of 5 images are missing, as '{images[0]}': their instances" in text for _, text in logged)
    with pytest.raises(UserError, match="all images of a test must exist, but 1 of 5 images are missing"):
        build(data, test_mode=True)
    shutil.rmtree(data.root / "train")
    with pytest.raises(UserError, match=r"half of the images must exist, but 5 of .*: correct data_root"):
        build(data)
    assert len(build(data, pipeline=[])) == 9  # nothing reads the images
    remote = [dict(type="LoadImage", backend_args=dict(backend="local"))]
    assert len(build(data, pipeline=remote)) == 9  # files of other storage cannot be listed


def test_a_sample_that_cannot_be_loaded(data):
    dataset, path = build(data), data.root / "train/000000000001.jpg"
    failing = build(data, pipeline=[dict(type="LoadImage"), dict(type="TopdownAffine", input_size=(96, 128))])
    with pytest.raises(UserError, match=r"annotation id 1\): the pipeline must .*, but has 'KeyError"):
        failing[0]
    for number, value in ((0, NAN), (3, np.inf), (4, -np.inf)):
        dataset.data_list[number]["keypoints"][0, 3] = value  # as a transform may give it
        message = rf"annotation id {number + 1}\): .*, but has 'gt_instances.* is not finite"
        with pytest.raises(UserError, match=message):
            dataset[number]
    sample = build(data)[3]["data_samples"]
    sample.gt_instances.ids, sample.gt_instances.names = np.array([3]), ["a name"]
    assert checked_dataset._find_not_finite(sample) is checked_dataset._find_not_finite(None) is None
    sample.gt_instance_labels.keypoint_labels[0, 4, 1] = NAN
    assert checked_dataset._find_not_finite(sample) == "gt_instance_labels.keypoint_labels"
    for content in (b"", b"text", b"\xff\xd8\xff\xe0" + b"\0" * 50, None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError) as raised:
            dataset[2]
        assert str(raised.value).startswith(f"{path} ({dataset.ann_file}, annotation id 3): the pipeline must load it ")
        assert "\n" not in str(raised.value)
        assert raised.value.__cause__ is not None
    with pytest.raises(UserError) as of_worker:
        list(DataLoader(dataset, num_workers=1, sampler=[2], collate_fn=list))
    assert str(of_worker.value) == str(raised.value)  # torch adds the worker's traceback


def test_subsets_and_lazy_loading(data):
    assert len(build(data, indices=4)) == 4
    lazy = build(data, lazy_init=True)
    check_sample(lazy[0])
    assert len(lazy) == 9
    with pytest.raises(UserError, match="but none is used: correct sample_interval"):
        build(data, sample_interval=1000)


@pytest.fixture
def boxes(data):
    """Detections for the images of the training split; the last one is of another category."""
    rows = data.content()["annotations"]
    rows = [dict(image_id=a["image_id"], category_id=1, bbox=a["bbox"], score=0.1 * a["id"]) for a in rows]
    return [*rows, dict(rows[0], category_id=2)]


@pytest.mark.parametrize("with_annotations", [True, False])
def test_good_boxes_are_what_mmpose_makes_of_them(data, boxes, with_annotations):
    if not with_annotations:  # COCO's test-dev
        with data.edit() as content:
            del content["annotations"]
    ours = build(data, "val", boxes)
    assert_same(ours.data_list, build(data, "val", boxes, type="CocoDataset").data_list)
    assert len(ours) == 9
    check_sample(ours[8])


def test_boxes_without_area_are_left_out(data, boxes, logged):
    boxes[2]["bbox"][2] = 0
    boxes[5]["score"] = NAN
    with pytest.raises(UserError, match="A test on detected boxes needs all of them, but the data set has indices or"):
        build(data, "val", boxes, indices=1)
    dataset = build(data, "val", boxes)
    assert len(dataset) == 7
    assert f"2 of 9 persons in {data.root / 'boxes.json'} are left out, the first is person 2" in logged[-2][1]
    (data.root / "train/000000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"boxes\.json, box 4\): the pipeline must load it"):
        dataset[3]


@pytest.mark.parametrize("change", [dict(image_id=123456), dict(score="high"), dict(bbox=None), dict(category_id=2)])
def test_boxes_that_mmpose_cannot_read(data, boxes, change):
    for row in boxes:
        row.update(change)
    with pytest.raises(UserError, match=r'boxes\.json must be boxes as \[{"image_id": 1, .*, but has '):
        build(data, "val", boxes)


@pytest.mark.parametrize("change", [dict(indices=3), dict(sample_interval=2)], ids=str)
def test_a_test_of_a_part_counts_only_the_part(data, change, reliability):
    """The predictions are the annotations, so AP is 1."""
    dataset, metric = build(data, **change, test_mode=True), METRICS.build(dict(type="CocoMetric"))
    assert 0 < len(dataset) < 9
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        sample, info = dataset[index]["data_samples"], dataset.get_data_info(index)
        sample.pred_instances = InstanceData(keypoints=info["keypoints"], keypoint_scores=info["keypoints_visible"])
        metric.process({}, [sample.to_dict()])
    assert metric.evaluate(len(dataset))["coco/AP"] == pytest.approx(1)
    reliability.row("inputs", "a test with indices or sample_interval", 1, "AP of the chosen part; a line in the log")

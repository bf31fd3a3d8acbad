"""The whole check: all loaders, other formats, the report, and nothing changed on disk."""

from __future__ import annotations

import copy
import json

import pytest

from tests.helpers import mpii
from tfpose_mm.datasets.checks.checking import check_data
from tfpose_mm.datasets.checks.data_report import need_report_path
from tfpose_mm.errors import UserError


def damage(data):
    """Damage rows and images of both files."""
    content = data.content()
    content["annotations"][4]["bbox"] = [1, 2, float("nan"), 4]
    content["annotations"][5]["keypoints"][3] = 1e9
    data.write(content)
    data.image(2).unlink()
    content = data.content("val")
    content["annotations"][1]["keypoints"].pop()
    data.write(content, "val")
    data.image(0, "val").write_bytes(b"GIF")


def places(report):
    return sorted((f.check, f.severity, f.file, f.row) for f in report.findings)


def test_good_data_has_no_fault_and_nothing_changes_on_disk(data):
    before = data.snapshot()
    cfg = copy.deepcopy(data.cfg)
    report = check_data(data.cfg, workers=2)
    assert report.findings == []
    report.strict = True
    assert report.exit_status == 0
    assert data.snapshot() == before
    assert data.cfg.to_dict() == cfg.to_dict()
    assert [(file.loaders, file.num_annotations, file.num_images) for file in report.files] == [
        (["train_dataloader"], 9, 9),
        (["val_dataloader", "test_dataloader"], 5, 5),
    ]


def test_faults_of_all_files_are_found_in_their_rows(data):
    damage(data)
    before = data.snapshot()
    train, val = str(data.path("train")), str(data.path("val"))
    report = check_data(data.cfg)
    assert places(report) == [
        ("bbox_type", "skipped", train, 4),
        ("image_missing", "skipped", train, 2),
        ("image_unreadable", "refused", val, 0),
        ("keypoints_length", "refused", val, 1),  # a test stops at rows that a training leaves out
        ("keypoints_type", "skipped", train, 5),
    ]
    assert report.exit_status == 1
    assert data.snapshot() == before


@pytest.mark.parametrize("workers", [1, 7])
def test_the_report_does_not_depend_on_the_number_of_threads(data, workers):
    damage(data)
    assert check_data(data.cfg, workers=workers).to_json() == check_data(data.cfg, workers=3).to_json()


def test_json_has_everything(data):
    damage(data)
    text = check_data(data.cfg).to_json()
    written = [row for file in json.loads(text)["files"] for row in file["findings"]]
    assert len(written) == 5
    assert {tuple(row) for row in written} == {("check", "severity", "file", "row", "detail")}


def test_without_images(data):
    damage(data)
    report = check_data(data.cfg, images=False)
    assert not [f for f in report.findings if f.check.startswith("image")]
    assert "not checked: images, because of --no-images" in str(report)


def test_the_text_groups_faults_and_names_the_first_places(data):
    content = data.content()
    for index in (2, 3, 5, 7):
        content["annotations"][index]["area"] = 0
    data.write(content)
    data.image(8).write_bytes(b"")
    text = str(check_data(data.cfg))
    refused, warning = [line for line in text.splitlines() if line.startswith("- ")]
    assert refused.startswith("- refused: image_unreadable: 1 in row 8; in 'images', ")
    area = "area should be above 0, because AP divides by it, but is 0: correct it, or"
    assert warning.startswith(f"- warning: area_not_positive: 4 in rows 2, 3, 5, ...; {area}")
    end = "2 data sets, 14 images: 1 refused (a training or test stops), 0 skipped (a training leaves the row out), 4 "
    assert text.endswith(f"{end}warnings (the row is used)")


def test_warnings_alone_give_0_and_with_strict_1(data):
    content = data.content()
    content["annotations"][2]["area"] = 0
    data.write(content)
    report = check_data(data.cfg)
    strict = check_data(data.cfg, strict=True)
    assert (report.exit_status, strict.exit_status) == (0, 1)


@pytest.mark.parametrize("use_area", [True, False])
def test_a_test_stops_at_areas_of_0_only_if_it_uses_them(data, use_area):
    content = data.content("val")
    content["annotations"][3]["area"] = 0
    data.write(content, "val")
    data.cfg.val_dataloader.dataset.use_area = data.cfg.test_dataloader.dataset.use_area = use_area
    severity = "refused" if use_area else "warning"
    assert places(check_data(data.cfg)) == [("area_not_positive", severity, str(data.path("val")), 3)]


def test_one_unreadable_file_does_not_hide_the_other(data):
    data.path("val").write_text('{"images": [')
    report = check_data(data.cfg)
    assert [(f.check, f.severity, f.file) for f in report.findings] == [
        ("file_unreadable", "refused", str(data.path("val")))
    ]
    data.path("train").unlink()
    with pytest.raises(UserError, match=r"person_keypoints_train.json does not exist: correct ann_file"):
        check_data(data.cfg)


def test_boxes_of_a_test_are_checked(data):
    boxes = [
        dict(image_id=image["id"], category_id=1, bbox=[1, 2, 30, 40], score=0.9)
        for image in data.content("val")["images"]
    ]
    boxes[3]["bbox"] = [1, 2, 0, 4]
    file = data.root / "boxes.json"
    file.write_text(json.dumps(boxes))
    data.cfg.val_dataloader.dataset.bbox_file = str(file)
    data.cfg.test_dataloader.dataset.bbox_file = str(file)
    assert places(check_data(data.cfg)) == [("box_numbers", "skipped", str(file), 3)]


def test_boxes_are_not_checked_if_an_image_id_occurs_again(data):
    content = data.content("val")
    content["images"][3]["id"] = content["images"][2]["id"]
    data.write(content, "val")
    boxes = str(data.root / "boxes.json")
    for loader in (data.cfg.val_dataloader, data.cfg.test_dataloader):
        loader.dataset.bbox_file = boxes
    report = check_data(data.cfg)
    assert places(report) == [("image_id_repeated", "refused", str(data.path("val")), 3)]
    assert report.files[1].not_checked == ["labels, images and boxes, because the annotation file is refused"]


def test_a_missing_file_of_boxes(data):
    boxes = str(data.root / "boxes.json")
    for loader in (data.cfg.val_dataloader, data.cfg.test_dataloader):
        loader.dataset.bbox_file = boxes
    report = check_data(data.cfg)
    assert places(report) == [("file_unreadable", "refused", str(data.path("val")), None)]
    assert f"{boxes} does not exist" in report.findings[0].detail


def test_wrapped_data_sets_are_checked(data):
    train = data.cfg.train_dataloader.dataset
    steps = train.pop("pipeline")
    data.cfg.train_dataloader.dataset = dict(
        type="CombinedDataset",
        metainfo=dict(from_file="configs/_base_/datasets/coco.py"),
        datasets=[train],
        pipeline=steps,
    )
    data.image(6).unlink()
    assert places(check_data(data.cfg)) == [("image_missing", "skipped", str(data.path("train")), 6)]


def test_other_formats_have_their_images_checked(data):
    mpii.from_coco_with_images(data.root)
    cfg = mpii.config(data.root)
    report = check_data(cfg)
    assert places(report) == []
    assert [file.not_checked for file in report.files] == 2 * [
        ["annotations, because MpiiDataset does not read all keypoints from COCO's format; the images are checked"]
    ]
    image = data.root / "images/000000000007.jpg"
    image.write_bytes(b"")
    assert places(check_data(cfg)) == [("image_unreadable", "refused", str(image), None)]


def test_a_report_replaces_only_a_report(data, tmp_path):
    path = tmp_path / "report.json"
    need_report_path(path)
    path.write_text(check_data(data.cfg).to_json())
    need_report_path(path)
    with pytest.raises(UserError, match=r"must not replace another file, but .*person_keypoints_train.json exists"):
        need_report_path(data.path("train"))
    with pytest.raises(UserError, match=r"a folder that exists, but .*nowhere does not: create it"):
        need_report_path(tmp_path / "nowhere/report.json")


def test_a_type_that_does_not_exist(data):
    data.cfg.train_dataloader.dataset.type = "NoDataset"
    with pytest.raises(UserError, match=r"NoDataset is not in the .*: correct it, set custom_imports"):
        check_data(data.cfg)

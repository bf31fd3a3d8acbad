"""The whole check: all loaders, images, the report, and nothing changed on disk."""

from __future__ import annotations

import copy
import json
import shutil

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from tests.helpers.mpii import write_mpii
from tfpose_mm.datasets.checks import check_data
from tfpose_mm.datasets.config_data import LARGEST
from tfpose_mm.errors import UserError

ROW = 3
OUTCOME = "`check_data` reports it as `{}` ({}) with the row"


def places(data, **options):
    """What is found: check, severity, split, row."""
    splits = {str(data.path(split)): split for split in ("train", "val")}
    found = check_data(data.cfg, **options).findings
    return sorted((f.check, f.severity, splits.get(f.file, f.file), f.row) for f in found)


def test_good_data_has_no_fault_and_nothing_changes_on_disk(data):
    def snapshot():
        return {path: (path.stat().st_mtime_ns, path.is_dir() or path.read_bytes()) for path in data.root.rglob("*")}

    before, cfg = snapshot(), copy.deepcopy(data.cfg)
    report = check_data(data.cfg)
    assert (report.findings, report.exit_status) == ([], 0)
    assert snapshot() == before
    assert data.cfg.to_dict() == cfg.to_dict()
    used = f"{data.path()} (train_dataloader): 9 annotations, 9 images\nno fault found\n\n"
    used += f"{data.path('val')} (val_dataloader, test_dataloader): 5 annotations, 5 images\nno fault found\n"
    assert str(report).startswith(used)


def test_faults_of_all_files_are_found_in_their_rows(data, tmp_path):
    with data.edit() as content:
        content["annotations"][4]["bbox"] = [1, 2, float("nan"), 4]
        for index in (2, 3, 5, 7):
            content["annotations"][index]["area"] = 0
    with data.edit("val") as content:
        content["annotations"][1]["keypoints"].pop()
    data.image(0, "val").write_bytes(b"GIF")
    path = tmp_path / "report.json"
    report = check_data(data.cfg, json=path)
    train, val = str(data.path()), str(data.path("val"))
    assert sorted(finding[:4] for finding in report.findings) == [
        *(("area_not_positive", "warning", train, index) for index in (2, 3, 5, 7)),
        ("bbox_type", "skipped", train, 4),
        ("image_unreadable", "refused", val, 0),
        ("keypoints_type", "refused", val, 1),  # a test stops at rows that a training leaves out
    ]
    assert json.loads(path.read_text()) == [finding._asdict() for finding in report.findings]
    for other in (path, tmp_path / "nowhere/report.json"):
        with pytest.raises(UserError, match="The findings need a new file in a folder that exists, but got"):
            check_data(data.cfg, json=other)
    report = check_data(data.cfg, images=False)
    assert report.exit_status == 1
    lines = [line.split("; ")[0] for line in str(report).splitlines() if line.startswith("- ")]
    assert lines == [
        "- skipped: bbox_type: 1 in row 4",
        "- warning: area_not_positive: 4 in rows 2, 3, 5, ...",
        "- refused: keypoints_type: 1 in row 1",
    ]
    assert "9 annotations, 8 images (not read)" in str(report)
    assert "2 data sets, 12 images: 1 refused (a training or test stops), 1 skipped (a tr" in str(report)


def test_one_unreadable_file_does_not_hide_the_other(data):
    data.path("val").write_text('{"images": [')
    assert places(data) == [("file_unreadable", "refused", "val", None)]
    data.path("train").unlink()
    assert [place[0] for place in places(data)] == ["file_unreadable"] * 2


def test_boxes_of_a_test_are_read(data):
    boxes = data.root / "boxes.json"
    for loader in (data.cfg.val_dataloader, data.cfg.test_dataloader):
        loader.dataset.bbox_file = str(boxes)
    assert places(data) == [("boxes_unreadable", "refused", str(boxes), None)]
    boxes.write_text(json.dumps([dict(image_id=1, category_id=1, bbox=[1, 2, 30, 40], score=0.9)]))
    assert places(data) == []
    with data.edit("val") as content:
        content["images"][3]["id"] = content["images"][2]["id"]
    assert places(data) == [("images_id_repeated", "refused", "val", 3)]


def test_wrapped_data_sets_are_checked(data):
    train = data.cfg.train_dataloader.dataset
    steps = train.pop("pipeline")
    coco = dict(from_file="configs/_base_/datasets/coco.py")
    data.cfg.train_dataloader.dataset = dict(type="CombinedDataset", metainfo=coco, datasets=[train], pipeline=steps)
    data.image(6).unlink()
    assert places(data) == [("image_missing", "skipped", "train", 6)]
    train.type = "NoDataset"
    with pytest.raises(UserError, match=r"NoDataset is not in the .*: correct it, or set custom_imports"):
        check_data(data.cfg)


def test_other_formats_are_not_checked(people, tmp_path, monkeypatch):
    write_mpii(people, tmp_path)
    monkeypatch.setenv("MPII_ROOT", str(tmp_path))
    findings = check_data("tfpose_r50_mpii_256x256").findings
    assert [(finding.check, finding.severity) for finding in findings] == 2 * [("not_checked", "warning")]
    assert "MpiiDataset does not read all keypoints from COCO's format" in findings[0].detail


def orient(path, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.open(path).copy().save(path, exif=exif)


def shrink(path):
    Image.open(path).reduce(2).save(path)


def make_folder(path):
    path.unlink()
    path.mkdir()


UNREADABLE = ("image_unreadable", "refused")
FAULTS = {
    "missing": (lambda path: path.unlink(), "image_missing", "skipped", "must exist, but does not: correct data_root"),
    "html page": (lambda path: path.write_text("<html>"), *UNREADABLE, "cv2 cannot decode it: download"),
    "empty file": (lambda path: path.write_bytes(b""), *UNREADABLE, "decoding fails with error"),
    "folder with its name": (make_folder, *UNREADABLE, "Is a directory"),
    "exif quarter turn": (lambda path: orient(path, 6), "image_exif_rotated", "warning", "EXIF orientation 6: save"),
    "exif half turn": (lambda path: orient(path, 3), "image_exif_orientation", "warning", "has 3, and the size"),
    "half the size": (shrink, "image_size", "warning", "should have the size of the annotation file"),
}


def test_the_fault_of_an_image_is_found_in_its_row(data, reliability):
    for row, (damage, *_) in enumerate(FAULTS.values(), start=1):
        damage(data.image(row))
    findings = check_data(data.cfg).findings
    assert [(finding.file, finding.row) for finding in findings] == [(str(data.path()), row) for row in range(1, 8)]
    for finding, (name, (_, check, severity, words)) in zip(findings, FAULTS.items()):
        assert finding[:2] == (check, severity)
        assert finding.detail.startswith(f"in 'images', {data.root}/train/00000000000{finding.row + 1}.jpg ")
        assert words in finding.detail
        reliability.row("data", f"check_data, image: {name}", 1, OUTCOME.format(check, severity))


def test_a_cut_jpeg_is_found_whether_or_not_the_decoder_reads_it(data, monkeypatch, reliability):
    """Some decoders fill the missing rows with grey, others refuse the file."""
    path, original = data.image(ROW), mmcv.imfrombytes
    whole = cv2.imread(str(path))
    cut = path.read_bytes()[: int(path.stat().st_size * 0.6)]
    path.write_bytes(cut)
    for decoded, check, severity, decoder in (
        (whole, "image_truncated", "warning", "a decoder that fills the rest"),
        (None, *UNREADABLE, "a decoder that refuses it"),
    ):

        def decode(content, decoded=decoded, **options):
            return decoded if content == cut else original(content, **options)

        monkeypatch.setattr(mmcv, "imfrombytes", decode)
        assert places(data) == [(check, severity, "train", ROW)]
        name = f"check_data, image: JPEG without its last 40 %, {decoder}"
        reliability.row("data", name, 1, OUTCOME.format(check, severity))


def test_turned_grey_and_alpha_images_are_no_faults(data):
    """If color_type ignores the EXIF orientation, or the annotation file has the size of the turned image."""
    orient(data.image(ROW), 6)
    for row, mode in ((1, "RGBA"), (2, "L")):
        Image.open(data.image(row)).convert(mode).save(data.image(row), "PNG")
    load = data.cfg.train_dataloader.dataset.pipeline[0]
    load.color_type = "color_ignore_orientation"
    assert places(data) == []
    del load.color_type
    with data.edit() as content:
        image, row = content["images"][ROW], content["annotations"][ROW]
        image["width"], image["height"] = image["height"], image["width"]
        row["bbox"] = row["bbox"][1::-1] + row["bbox"][:1:-1]
        row["keypoints"] = [value for x, y, v in zip(*[iter(row["keypoints"])] * 3) for value in (y, x, v)]
    assert not [check for check, *_ in places(data) if check.startswith("image")]


def test_most_images_missing_stop_a_training_and_one_stops_a_test(data):
    missing = [("train", row) for row in range(5)] + [("val", 4)]
    for split, row in missing:
        data.image(row, split).unlink()
    assert places(data) == [("image_missing", "refused", *place) for place in missing]


def test_long_images_are_refused_and_those_without_annotations_not_read(data):
    cv2.imwrite(str(data.image(2)), np.zeros((2, LARGEST + 1, 3), np.uint8))
    data.image(ROW).unlink()
    with data.edit() as content:
        content["images"][2].update(width=LARGEST + 1, height=2)
        del content["annotations"][ROW]
    images = [place for place in places(data) if place[0].startswith("image")]
    assert images == [("image_too_long", "refused", "train", 2)]
    assert "8 annotations, 8 images" in str(check_data(data.cfg))


def test_copies_and_one_file_for_training_and_test(data):
    size = {side: data.content()["images"][2][side] for side in ("width", "height")}
    for split, row in (("train", 7), ("val", 3)):
        shutil.copy(data.image(2), data.image(row, split))
        with data.edit(split) as content:
            content["images"][row].update(size)
    copies = [place for place in places(data) if place[0].startswith("image_")]
    assert copies == [("image_in_training", "warning", "val", 3), ("image_repeated", "warning", "train", 7)]
    for key in ("ann_file", "data_prefix"):
        data.cfg.val_dataloader.dataset[key] = data.cfg.train_dataloader.dataset[key]
    report = check_data(data.cfg, images=False)
    assert ("test_on_training_data", "warning") in [f[:2] for f in report.findings]
    assert "(train_dataloader, val_dataloader)" in str(report)

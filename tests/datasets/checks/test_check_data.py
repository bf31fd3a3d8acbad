"""The whole check: all loaders, images, the report, and nothing changed on disk."""

from __future__ import annotations

import copy
import io
import json
import shutil

import cv2
import mmcv
import numpy as np
import pytest
from mmpose.datasets.transforms import LoadImage
from PIL import Image

from tests.helpers import mpii
from tfpose_mm.datasets.checks import check_data
from tfpose_mm.datasets.config_data import LARGEST
from tfpose_mm.errors import UserError

ROW = 3
OUTCOME = "`check_data` reports it as `{}` ({}) with the row"


def places(report):
    return sorted((f.check, f.severity, f.file, f.row) for f in report.findings)


def test_good_data_has_no_fault_and_nothing_changes_on_disk(data):
    before, cfg = data.snapshot(), copy.deepcopy(data.cfg)
    report = check_data(data.cfg)
    assert report.findings == []
    assert report.exit_status == 0
    assert data.snapshot() == before
    assert data.cfg.to_dict() == cfg.to_dict()
    assert [(file.loaders, file.num_annotations, file.num_images) for file in report.files] == [
        (["train_dataloader"], 9, 9),
        (["val_dataloader", "test_dataloader"], 5, 5),
    ]


def test_faults_of_all_files_are_found_in_their_rows(data, tmp_path):
    with data.edit() as content:
        content["annotations"][4]["bbox"] = [1, 2, float("nan"), 4]
        content["annotations"][5]["keypoints"][3] = 1e9
    data.image(2).unlink()
    with data.edit("val") as content:
        content["annotations"][1]["keypoints"].pop()
    data.image(0, "val").write_bytes(b"GIF")
    train, val = str(data.path("train")), str(data.path("val"))
    report = check_data(data.cfg, json=tmp_path / "report.json")
    expected = [
        ("bbox_type", "skipped", train, 4),
        ("image_missing", "skipped", train, 2),
        ("image_unreadable", "refused", val, 0),
        ("keypoints_type", "refused", val, 1),  # a test stops at rows that a training leaves out
        ("keypoints_type", "skipped", train, 5),
    ]
    assert places(report) == expected
    assert report.exit_status == 1
    written = json.loads((tmp_path / "report.json").read_text())
    rows = [row for file in written["files"] for row in file["findings"]]
    assert sorted((row["check"], row["severity"], row["file"], row["row"]) for row in rows) == expected
    check_data(data.cfg, json=tmp_path / "report.json")  # a report may be replaced, but nothing else
    for path in (data.path("train"), tmp_path / "nowhere/report.json"):
        with pytest.raises(UserError, match="The report must be a new file in a folder that exists, or replace a"):
            check_data(data.cfg, json=path)
    report = check_data(data.cfg, images=False)
    assert not [f for f in report.findings if f.check.startswith("image")]
    assert "not checked: images, because of --no-images" in str(report)


def test_the_text_groups_faults_and_names_the_first_places(data):
    with data.edit() as content:
        for index in (2, 3, 5, 7):
            content["annotations"][index]["area"] = 0
    report = check_data(data.cfg)
    assert report.exit_status == 0
    data.image(8).write_bytes(b"")
    text = str(check_data(data.cfg))
    refused, warning = [line for line in text.splitlines() if line.startswith("- ")]
    assert refused.startswith("- refused: image_unreadable: 1 in row 8; in 'images', ")
    assert warning.startswith("- warning: area_not_positive: 4 in rows 2, 3, 5, ...; area should be above 0")
    end = "2 data sets, 14 images: 1 refused (a training or test stops), 0 skipped (a training leaves the row out), 4 "
    assert text.endswith(f"{end}warnings (the row is used)")


@pytest.mark.parametrize("use_area", [True, False])
def test_a_test_stops_at_areas_of_0_only_if_it_uses_them(data, use_area):
    with data.edit("val") as content:
        content["annotations"][3]["area"] = 0
    data.set_tests(use_area=use_area)
    severity = "refused" if use_area else "warning"
    assert places(check_data(data.cfg)) == [("area_not_positive", severity, str(data.path("val")), 3)]


def test_one_unreadable_file_does_not_hide_the_other(data):
    data.path("val").write_text('{"images": [')
    assert places(check_data(data.cfg)) == [("file_unreadable", "refused", str(data.path("val")), None)]
    data.path("train").unlink()
    with pytest.raises(UserError, match=r"person_keypoints_train.json does not exist: correct ann_file"):
        check_data(data.cfg)


def test_boxes_of_a_test_are_read(data):
    boxes = data.root / "boxes.json"
    data.set_tests(bbox_file=str(boxes))
    assert places(check_data(data.cfg)) == [("boxes_unreadable", "refused", str(boxes), None)]
    rows = [dict(image_id=1, category_id=1, bbox=[1, 2, 30, 40], score=0.9)]
    boxes.write_text(json.dumps(rows))
    assert places(check_data(data.cfg)) == []
    with data.edit("val") as content:
        content["images"][3]["id"] = content["images"][2]["id"]
    report = check_data(data.cfg)
    assert places(report) == [("images_id_repeated", "refused", str(data.path("val")), 3)]
    assert report.files[1].not_checked == ["labels, images and boxes, because the annotation file is refused"]


def test_wrapped_data_sets_are_checked(data):
    train = data.cfg.train_dataloader.dataset
    steps = train.pop("pipeline")
    coco = dict(from_file="configs/_base_/datasets/coco.py")
    data.cfg.train_dataloader.dataset = dict(type="CombinedDataset", metainfo=coco, datasets=[train], pipeline=steps)
    data.image(6).unlink()
    assert places(check_data(data.cfg)) == [("image_missing", "skipped", str(data.path("train")), 6)]


def test_other_formats_are_not_checked(data):
    mpii.from_coco_with_images(data.root)
    report = check_data(mpii.config(data.root))
    assert places(report) == []
    reason = "all, because MpiiDataset does not read all keypoints from COCO's format"
    assert [file.not_checked for file in report.files] == 2 * [[reason]]


def test_a_type_that_does_not_exist(data):
    data.cfg.train_dataloader.dataset.type = "NoDataset"
    with pytest.raises(UserError, match=r"NoDataset is not in the .*: correct it, or set custom_imports"):
        check_data(data.cfg)


def save(path, image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    path.write_bytes(buffer.getvalue())


def orient(path, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    with Image.open(path) as image:
        save(path, image.copy(), "JPEG", exif=exif)


def missing(path):
    path.unlink()


def html_page(path):
    path.write_text("<html>not found</html>")


def empty_file(path):
    path.write_bytes(b"")


def folder_with_its_name(path):
    path.unlink()
    path.mkdir()


def exif_quarter_turn(path):
    orient(path, 6)


def exif_half_turn(path):
    orient(path, 3)


def half_the_size(path):
    with Image.open(path) as image:
        save(path, image.resize((image.width // 2, image.height // 2)), "JPEG")


@pytest.mark.parametrize(
    ("damage", "check", "severity", "words"),
    [
        (missing, "image_missing", "skipped", "must exist, but does not: correct data_root or data_prefix"),
        (html_page, "image_unreadable", "refused", "cv2 cannot decode it: download or copy the image again"),
        (empty_file, "image_unreadable", "refused", "must be a complete image, but decoding fails with error"),
        (folder_with_its_name, "image_unreadable", "refused", "Is a directory"),
        (exif_quarter_turn, "image_exif_rotated", "warning", "EXIF orientation 6: save the image without"),
        (exif_half_turn, "image_exif_orientation", "warning", "has 3, and the size does not show"),
        (half_the_size, "image_size", "warning", "should have the size of the annotation file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_fault_of_an_image_is_found_in_its_row(data, damage, check, severity, words, reliability):
    damage(data.image(ROW))
    (finding,) = check_data(data.cfg).findings
    assert finding[:4] == (check, severity, str(data.path("train")), ROW)
    assert finding.detail.startswith(f"in 'images', {data.image(ROW)} ")
    assert words in finding.detail
    name = damage.__name__.replace("_", " ")
    reliability.row("data", f"check_data, image: {name}", 1, OUTCOME.format(check, severity))


@pytest.mark.parametrize("reads", [True, False])
def test_a_cut_jpeg_is_found_whether_or_not_the_decoder_reads_it(data, reads, monkeypatch, reliability):
    """Some decoders fill the missing rows with grey, others refuse the file."""
    path = data.image(ROW)
    whole = cv2.imread(str(path))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    original = mmcv.imfrombytes
    cut = path.read_bytes()

    def decode(content, **options):
        return original(content, **options) if content != cut else whole if reads else None

    monkeypatch.setattr(mmcv, "imfrombytes", decode)
    check, severity = ("image_truncated", "warning") if reads else ("image_unreadable", "refused")
    assert places(check_data(data.cfg)) == [(check, severity, str(data.path("train")), ROW)]
    decoder = "a decoder that fills the rest" if reads else "a decoder that refuses it"
    name = f"check_data, image: JPEG without its last 40 %, {decoder}"
    reliability.row("data", name, 1, OUTCOME.format(check, severity))


@pytest.mark.parametrize("color_type", ["color", "color_ignore_orientation"])
def test_the_size_is_that_of_the_pipeline_s_loader(data, color_type):
    """LoadImage applies the EXIF orientation, unless its color_type ignores it."""
    exif_quarter_turn(data.image(ROW))
    data.cfg.train_dataloader.dataset.pipeline[0].color_type = color_type
    loaded = LoadImage(color_type=color_type).transform(dict(img_path=str(data.image(ROW))))["img"]
    image = data.content()["images"][ROW]
    fits = loaded.shape[:2] == (image["height"], image["width"])
    assert fits is (color_type != "color")
    assert [f.check for f in check_data(data.cfg).findings] == ([] if fits else ["image_exif_rotated"])


def test_a_turned_image_grey_and_alpha_are_no_faults(data):
    """The annotation file has the size of the turned image."""
    exif_quarter_turn(data.image(ROW))
    with data.edit() as content:
        image, row = content["images"][ROW], content["annotations"][ROW]
        image["width"], image["height"] = image["height"], image["width"]
        row["bbox"] = row["bbox"][1::-1] + row["bbox"][:1:-1]
        row["keypoints"] = [value for x, y, v in zip(*[iter(row["keypoints"])] * 3) for value in (y, x, v)]
    for row, mode in ((1, "RGBA"), (2, "L")):
        with Image.open(data.image(row)) as image:
            save(data.image(row), image.convert(mode), "PNG")
    assert not [f for f in check_data(data.cfg).findings if f.check.startswith("image")]


def test_most_images_missing_stop_a_training_and_one_stops_a_test(data):
    for row in range(5):
        data.image(row).unlink()
    data.image(4, "val").unlink()
    findings = check_data(data.cfg).findings
    assert {(f.check, f.severity) for f in findings} == {("image_missing", "refused")}
    assert [f.row for f in findings] == [0, 1, 2, 3, 4, 4]


def test_images_without_annotations_are_not_read(data):
    data.image(ROW).unlink()
    with data.edit() as content:
        del content["annotations"][ROW]
    report = check_data(data.cfg)
    assert not report.findings
    assert report.files[0].num_images == 8


def test_an_image_that_is_too_long_is_refused(data):
    cv2.imwrite(str(data.image(2)), np.zeros((2, LARGEST + 1, 3), np.uint8))
    with data.edit() as content:
        content["images"][2].update(width=LARGEST + 1, height=2)
    (finding,) = [f for f in check_data(data.cfg).findings if f.check == "image_too_long"]
    assert finding[1:4] == ("refused", str(data.path("train")), 2)


def test_copies(data):
    shutil.copy(data.image(2), data.image(7))
    with data.edit() as content:
        size = {side: content["images"][2][side] for side in ("width", "height")}
        content["images"][7].update(size)
    shutil.copy(data.image(2), data.image(3, "val"))
    with data.edit("val") as content:
        content["images"][3].update(size)
    copies = [f[:4] for f in check_data(data.cfg).findings if f.check.startswith("image_")]
    assert copies == [
        ("image_repeated", "warning", str(data.path("train")), 7),
        ("image_in_training", "warning", str(data.path("val")), 3),
    ]


def test_one_file_for_training_and_test(data):
    for key in ("ann_file", "data_prefix"):
        data.cfg.val_dataloader.dataset[key] = data.cfg.train_dataloader.dataset[key]
    report = check_data(data.cfg)
    assert [(f.check, f.row) for f in report.findings] == [("test_on_training_data", None)]
    assert [file.loaders for file in report.files] == [["train_dataloader", "val_dataloader"], ["test_dataloader"]]

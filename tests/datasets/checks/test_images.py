"""Each fault of an image is found in the right row of the right file."""

from __future__ import annotations

import io
import shutil

import cv2
import mmcv
import numpy as np
import pytest
from mmpose.datasets.transforms import LoadImage
from PIL import Image

from tfpose_mm.datasets.checks.checking import check_data
from tfpose_mm.datasets.image_files import LARGEST

ROW = 3


def save(path, image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    path.write_bytes(buffer.getvalue())


def orient(path, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    with Image.open(path) as image:
        save(path, image.copy(), "JPEG", exif=exif)


def noise(path, fraction):
    """A JPEG of 300 x 200 pixels, of which only a part is written."""
    pixels = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    encoded = cv2.imencode(".jpg", pixels)[1].tobytes()
    path.write_bytes(encoded[: int(len(encoded) * fraction)])


def missing(path):
    path.unlink()


def html_page(path):
    path.write_text("<html>not found</html>")


def empty_file(path):
    path.write_bytes(b"")


def folder_with_its_name(path):
    path.unlink()
    path.mkdir()


def cmyk(path):
    with Image.open(path) as image:
        save(path, image.convert("CMYK"), "JPEG")


def sixteen_bits(path):
    cv2.imwrite(str(path.with_suffix(".png")), cv2.imread(str(path)).astype(np.uint16) * 16)
    path.with_suffix(".png").rename(path)


def transparent(path):
    with Image.open(path) as image:
        picture = image.convert("RGBA")
    picture.putpixel((3, 5), (9, 9, 9, 0))
    save(path, picture, "PNG")


def exif_quarter_turn(path):
    orient(path, 6)


def exif_half_turn(path):
    orient(path, 3)


def half_the_size(path):
    with Image.open(path) as image:
        save(path, image.resize((image.width // 2, image.height // 2)), "JPEG")


FAULTS = [
    (
        missing,
        "image_missing",
        "skipped",
        "must exist, but does not: correct data_root or data_prefix in the config, or copy",
    ),
    (html_page, "image_unreadable", "refused", "cv2 cannot decode it: download or copy the image again"),
    (empty_file, "image_unreadable", "refused", "the file is empty"),
    (folder_with_its_name, "image_unreadable", "refused", "Is a directory"),
    (cmyk, "image_cmyk", "warning", "is CMYK"),
    (sixteen_bits, "image_16_bit", "warning", "has 16, of which LoadImage keeps the upper 8"),
    (transparent, "image_transparent", "warning", "LoadImage shows the colours behind them"),
    (exif_quarter_turn, "image_exif_rotated", "warning", "LoadImage turns it by its EXIF orientation 6"),
    (exif_half_turn, "image_exif_orientation", "warning", "has 3, and the size does not show"),
    (half_the_size, "image_size", "warning", "should have the size of the annotation file"),
]
OUTCOME = "`check_data` reports it as `{}` ({}) with the row"


@pytest.mark.parametrize(
    ("damage", "check", "severity", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_the_fault_of_an_image_is_found_in_its_row(data, damage, check, severity, words, reliability):
    damage(data.image(ROW))
    findings = check_data(data.cfg).findings
    assert [(f.check, f.severity, f.file, f.row) for f in findings] == [(check, severity, str(data.path("train")), ROW)]
    assert findings[0].detail.startswith(f"in 'images', {data.image(ROW)} ")
    assert words in findings[0].detail
    name = damage.__name__.replace("_", " ")
    reliability.row("data", f"check_data, image: {name}", 1, OUTCOME.format(check, severity))


@pytest.mark.parametrize(("fraction", "reads"), [(0.6, True), (0.6, False)])
def test_a_cut_jpeg_is_found_whether_or_not_the_decoder_reads_it(data, fraction, reads, monkeypatch, reliability):
    """OpenCV's imread fills the missing rows with grey; its imdecode, which LoadImage calls, refuses the file."""
    content, train = data.content(), str(data.path("train"))
    for row, part in ((1, 1.0), (2, fraction)):
        noise(data.image(row), part)
        content["images"][row].update(width=300, height=200)
        content["annotations"][row].update(bbox=[10, 10, 200, 150])
    data.write(content)
    decoded = cv2.imread(str(data.image(2)))
    assert decoded.shape == (200, 300, 3)
    monkeypatch.setattr(mmcv, "imfrombytes", lambda *_, **__: decoded if reads else None)
    start = "image_truncated" if reads else "image_unreadable"
    found = [f for f in check_data(data.cfg).findings if f.check == start and (f.row, f.file) == (2, train)]
    check, severity = ("image_truncated", "warning") if reads else ("image_unreadable", "refused")
    assert [(f.check, f.severity, f.row) for f in found] == [(check, severity, 2)]
    assert "its end is missing" in found[0].detail
    decoder = "a decoder that fills the rest" if reads else "a decoder that refuses it"
    name = f"check_data, image: JPEG without its last 40 %, {decoder}"
    reliability.row("data", name, 1, OUTCOME.format(check, severity))


def test_a_cut_jpeg_is_judged_as_the_pipeline_loads_it(data):
    path = data.image(ROW)
    path.write_bytes(path.read_bytes()[:-200])
    try:
        loaded = LoadImage().transform(dict(img_path=str(path)))["img"] is not None
    except Exception:
        loaded = False
    assert [f.check for f in check_data(data.cfg).findings] == ["image_truncated" if loaded else "image_unreadable"]


def test_a_turned_image_is_no_fault_if_the_file_has_the_turned_size(data):
    exif_quarter_turn(data.image(ROW))
    content = data.content()
    image = content["images"][ROW]
    image["width"], image["height"] = image["height"], image["width"]
    assert image["width"] != image["height"]
    row = content["annotations"][ROW]
    row["bbox"] = row["bbox"][1::-1] + row["bbox"][:1:-1]
    row["keypoints"] = [value for x, y, v in zip(*[iter(row["keypoints"])] * 3) for value in (y, x, v)]
    data.write(content)
    assert not [f for f in check_data(data.cfg).findings if f.check.startswith("image")]


@pytest.mark.parametrize("color_type", ["color", "color_ignore_orientation"])
def test_the_size_is_that_of_the_pipeline_s_loader(data, color_type):
    """LoadImage applies the EXIF orientation, unless its color_type ignores it."""
    path = data.image(ROW)
    exif_quarter_turn(path)
    for loader in ("train_dataloader", "val_dataloader"):
        data.cfg[loader].dataset.pipeline[0].color_type = color_type
    loaded = LoadImage(color_type=color_type).transform(dict(img_path=str(path)))["img"]
    image = data.content()["images"][ROW]
    fits = loaded.shape[:2] == (image["height"], image["width"])
    assert fits is (color_type != "color")
    assert [f.check for f in check_data(data.cfg).findings] == ([] if fits else ["image_exif_rotated"])


def test_opaque_alpha_and_grey_are_no_faults(data):
    for row, mode in ((1, "RGBA"), (2, "L")):
        with Image.open(data.image(row)) as image:
            save(data.image(row), image.convert(mode), "PNG")
    report = check_data(data.cfg)
    assert not report.findings
    assert mmcv.imread(str(data.image(2))).shape[2] == 3


def test_most_images_missing_stop_a_training_and_one_stops_a_test(data):
    for row in range(5):
        data.image(row).unlink()
    data.image(4, "val").unlink()
    findings = check_data(data.cfg).findings
    assert {(f.check, f.severity) for f in findings} == {("image_missing", "refused")}
    assert [f.row for f in findings] == [0, 1, 2, 3, 4, 4]


def test_images_without_annotations_are_not_read(data):
    content = data.content()
    data.image(ROW).unlink()
    del content["annotations"][ROW]
    data.write(content)
    report = check_data(data.cfg)
    assert not report.findings
    assert report.files[0].num_images == 8


def test_an_image_that_is_too_long_is_refused(data):
    path = data.image(2)
    cv2.imwrite(str(path), np.zeros((2, LARGEST + 1, 3), np.uint8))
    content = data.content()
    content["images"][2].update(width=LARGEST + 1, height=2)
    data.write(content)
    (finding,) = [f for f in check_data(data.cfg).findings if f.check == "image_too_long"]
    assert (finding.severity, finding.row) == ("refused", 2)
    assert f"must have no side longer than {LARGEST} pixels, which OpenCV's warpAffine needs" in finding.detail


def found(data):
    return [(f.check, f.file, f.row) for f in check_data(data.cfg).findings if f.check.startswith("image")]


def test_a_copy_in_the_same_file(data):
    shutil.copy(data.image(2), data.image(7))
    content = data.content()
    content["images"][7].update(width=content["images"][2]["width"], height=content["images"][2]["height"])
    data.write(content)
    assert found(data) == [("image_repeated", str(data.path("train")), 7)]


def test_a_training_image_in_the_test(data):
    shutil.copy(data.image(6), data.image(3, "val"))
    content, size = data.content("val"), data.content()["images"][6]
    content["images"][3].update(width=size["width"], height=size["height"])
    data.write(content, "val")
    assert found(data) == [("image_in_training", str(data.path("val")), 3)]


def test_one_file_for_training_and_test(data):
    data.cfg.val_dataloader.dataset.ann_file = data.cfg.train_dataloader.dataset.ann_file
    data.cfg.val_dataloader.dataset.data_prefix = data.cfg.train_dataloader.dataset.data_prefix
    report = check_data(data.cfg)
    assert [(f.check, f.row) for f in report.findings] == [("test_on_training_data", None)]
    assert [file.loaders for file in report.files] == [["train_dataloader", "val_dataloader"], ["test_dataloader"]]

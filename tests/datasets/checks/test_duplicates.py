"""Images that are used twice."""

from __future__ import annotations

import shutil

import cv2

from tfpose_mm.datasets.checks.checking import check_data


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


def test_a_training_image_in_the_test_in_another_size_and_quality(data):
    image = cv2.imread(str(data.image(6)))
    other = cv2.resize(image, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(data.image(3, "val")), other, [cv2.IMWRITE_JPEG_QUALITY, 60])
    content = data.content("val")
    content["images"][3].update(width=other.shape[1], height=other.shape[0])
    data.write(content, "val")
    assert found(data) == [("image_similar_to_training", str(data.path("val")), 3)]


def test_images_without_structure_are_not_similar(data):
    for split, row, grey in (("train", 1, 90), ("val", 2, 91)):
        image = cv2.imread(str(data.image(row, split)))
        image[:] = grey
        cv2.imwrite(str(data.image(row, split)), image)
    assert found(data) == []


def test_one_file_for_training_and_test(data):
    data.cfg.val_dataloader.dataset.ann_file = data.cfg.train_dataloader.dataset.ann_file
    data.cfg.val_dataloader.dataset.data_prefix = data.cfg.train_dataloader.dataset.data_prefix
    report = check_data(data.cfg)
    assert [(f.check, f.row) for f in report.findings] == [("test_on_training_data", None)]
    assert [file.loaders for file in report.files] == [["train_dataloader", "val_dataloader"], ["test_dataloader"]]

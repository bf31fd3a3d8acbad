from __future__ import annotations

import numpy as np
import pytest
from mmpose.registry import DATASETS

from tfpose_mm.analysis.contact_sheet import draw_contact_sheet
from tfpose_mm.errors import UserError
from tfpose_mm.evaluation import EvaluatedPerson


def dataset(people):
    cfg = dict(
        type="CocoDataset",
        data_root=str(people),
        ann_file="annotations/person_keypoints_val.json",
        data_prefix=dict(img="val/"),
        test_mode=True,
    )
    return DATASETS.build(cfg)


def predicted(info, shift=0.0):
    target, labelled = info["keypoints"][0], info["keypoints_visible"][0] > 0
    return EvaluatedPerson(info["img_path"], 1, 1, target + shift, target, labelled, info["bbox"][0], 1000.0)


def test_sheet_shows_pairs_that_differ_where_the_prediction_does(people):
    data = dataset(people)
    exact = [predicted(data.get_data_info(index)) for index in range(5)]
    moved = [predicted(data.get_data_info(index), shift=15.0) for index in range(5)]
    sheet = draw_contact_sheet(exact, data.metainfo, columns=2, cell=(60, 80))
    assert sheet.dtype == np.uint8
    assert sheet.shape == (22 + 3 * 84, 2 * (2 * 60 + 8), 3)
    other = draw_contact_sheet(moved, data.metainfo, columns=2, cell=(60, 80))
    first_annotated, first_predicted = (slice(22, 102), slice(0, 60)), (slice(22, 102), slice(60, 120))
    assert np.array_equal(sheet[first_annotated], other[first_annotated])
    assert not np.array_equal(sheet[first_predicted], other[first_predicted])
    assert (sheet[22 + 2 * 84 :, 128:] == 255).all()  # with five instances the sixth cell is white


def test_nobody_is_refused(people):
    with pytest.raises(UserError, match="at least one person"):
        draw_contact_sheet([], dataset(people).metainfo)


def test_a_missing_image_is_named(people):
    data = dataset(people)
    person = predicted(dict(data.get_data_info(0), img_path="nowhere/000.jpg"))
    with pytest.raises(UserError, match=r"nowhere/000\.jpg is missing"):
        draw_contact_sheet([person], data.metainfo)

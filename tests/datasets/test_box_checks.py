from __future__ import annotations

import pytest

from tfpose_mm.datasets.annotation_structure import check_boxes
from tfpose_mm.datasets.findings import REFUSED, SKIPPED

NAN, INF = float("nan"), float("inf")


def boxes():
    return [dict(image_id=i, category_id=1, bbox=[1, 2.5, 3, 4], score=0.5) for i in (7, 8, 8)]


def found(content):
    return [(f.check, f.severity, f.row) for f in check_boxes(content, "b.json", {7, 8})]


def test_good_boxes_have_no_findings():
    assert found(boxes()) == []
    assert found([dict(boxes()[0], bbox=[1, 2, 0.5, 4])]) == []
    assert found([boxes()[0], dict(boxes()[0], bbox=[1, 2, 3, 4, 0.9], category_id=3, score=-1.5)]) == []


@pytest.mark.parametrize("content", [None, {}, 3, "text", []])
def test_files_that_are_no_list(content):
    assert found(content) == [("boxes_not_a_list", REFUSED, None)]


@pytest.mark.parametrize(
    ("key", "value", "check", "severity"),
    [
        ("image_id", 9, "box_image_id_unknown", REFUSED),
        ("image_id", [7], "box_image_id_unknown", REFUSED),
        ("image_id", 7.0, "box_image_id_unknown", REFUSED),
        ("category_id", None, "box_category_id_type", REFUSED),
        ("bbox", [1, 2, 3], "box_type", REFUSED),
        ("bbox", "1234", "box_type", REFUSED),
        ("bbox", [1, 2, 3, "4"], "box_type", REFUSED),
        ("bbox", [1, 2, 3, True], "box_type", REFUSED),
        ("bbox", [1, NAN, 3, 4], "box_numbers", SKIPPED),
        ("bbox", [1, 2, INF, 4], "box_numbers", SKIPPED),
        ("bbox", [1, 10**400, 3, 4], "box_numbers", SKIPPED),
        ("bbox", [1, 2, 0, 4], "box_numbers", SKIPPED),
        ("bbox", [1, 2, 3, -4], "box_numbers", SKIPPED),
        ("bbox", [1, 2, 0.9, 0.9], "box_numbers", SKIPPED),
        ("bbox", [1, 2, 1e-9, 4], "box_numbers", SKIPPED),
        ("score", NAN, "box_score", SKIPPED),
        ("score", INF, "box_score", SKIPPED),
        ("score", "0.5", "box_score", SKIPPED),
        ("score", None, "box_score", SKIPPED),
    ],
)
def test_a_wrong_value(key, value, check, severity):
    content = boxes()
    content[1][key] = value
    assert found(content) == [(check, severity, 1)]


@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox", "score"])
def test_a_missing_key(key):
    content = boxes()
    del content[2][key]
    assert found(content) == [("box_key_missing", REFUSED, 2)]


def test_a_row_that_is_no_object():
    assert found([*boxes(), [1]]) == [("box_not_object", REFUSED, 3)]


def test_no_usable_box():
    content = [dict(row, bbox=[0, 0, 0, 0]) for row in boxes()]
    assert found(content)[-1] == ("no_box", REFUSED, None)
    content = [dict(row, category_id=2) for row in boxes()]
    assert found(content) == [("no_box", REFUSED, None)]

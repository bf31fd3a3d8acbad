from __future__ import annotations

import copy

import pytest

from tfpose_mm.datasets.annotation_checks import inspect_annotations
from tfpose_mm.datasets.annotations import read_json
from tfpose_mm.datasets.findings import REFUSED, SKIPPED, WARNING
from tfpose_mm.errors import MissingFileError, UserError

NAN, INF = float("nan"), float("inf")
K = 4


def annotation(number, image_id, x=10.0):
    """A good instance in a box of 30 x 40 pixels; the last of the four keypoints is not labelled."""
    row = dict(id=number, image_id=image_id, category_id=1, bbox=[x, 20, 30, 40], area=700, num_keypoints=3, iscrowd=0)
    return dict(row, keypoints=[x + 1, 21, 2, x + 29, 22, 1, x + 15, 59, 2, 0, 0, 0])


@pytest.fixture
def content():
    """Three images of 100 x 80 pixels, with five instances."""
    places = zip(range(5), (7, 8, 8, 9, 9), range(50, 0, -10))
    return dict(
        images=[dict(id=number, file_name=f"{number}.jpg", width=100, height=80) for number in (7, 8, 9)],
        annotations=[annotation(*place) for place in places],
        categories=[dict(id=1, name="person")],
    )


def found(content, **options):
    return [(f.check, f.severity, f.row) for f in inspect_annotations(content, "a.json", K, **options).findings]


def test_good_annotations_have_no_findings(content):
    del content["annotations"][2]["num_keypoints"], content["annotations"][3]["iscrowd"]  # optional
    before = copy.deepcopy(content)
    assert found(content) == []
    assert content == before


NO_POINTS = [None, {}, [1, 2, 3], [*range(13)], [[1, 2, 2]] * 4, [{"x": 1}]]
NO_POINTS += [[*range(i), wrong, *range(i, 11)] for i, wrong in enumerate(("22", NAN, INF, None, 10**400))]
LEFT_OUT = (
    ("id", "id_type", [None, 2**63, 1.0]),
    ("image_id", "image_id_type", [77, "7", [7], True]),
    ("category_id", "category_id_type", ["1"]),
    (
        "bbox",
        "bbox_type",
        [None, "1 2 3 4", [1, 2, 3], [NAN, 2, 3, 4], [1, 2, INF, 4], [1e9, 2, 3, 4], [1, 2, 3, True]],
    ),
    ("bbox", "bbox_without_area", [[10, 20, 0, 40], [10, 20, 30, -40], [200, 20, 30, 40], [99, 20, 30, 40]]),
    ("iscrowd", "iscrowd_type", ["0", None, []]),
    ("area", "area_type", [NAN, INF, "700"]),
    ("num_keypoints", "num_keypoints_type", ["3", None]),
    ("num_keypoints", "num_keypoints_zero", [0]),
    ("keypoints", "keypoints_type", NO_POINTS),
    ("keypoints", "visibility_negative", [[11, 21, -1, 39, 22, 1, 25, 59, 2, 0, 0, 0]]),
    ("keypoints", "no_labelled_keypoint", [[11, 21, 0, 39, 22, 0, 25, 59, 0, 0, 0, 0]]),
    ("keypoints", "keypoints_identical", [[11, 21, 2, 11, 21, 1, 11, 21, 2, 0, 0, 0]]),
    ("keypoints", "keypoints_at_origin", [[0, 0, 2, -0.5, 0, 1, 0, -1, 2, 0, 0, 0]]),
)
REPORTED = (
    ("area", "area_not_positive", [0, -3.5]),
    ("bbox", "keypoints_outside_bbox", [[60, 20, 30, 40]]),
    ("keypoints", "visibility_unknown", [[11, 21, v, 39, 22, 1, 25, 59, 2, 0, 0, 0] for v in (3, 0.5)]),
    ("keypoints", "keypoints_outside_image", [[11, 21, 2, 39, 22, 1, 25, y, 2, 0, 0, 0] for y in (81, 590)]),
    ("keypoints", "keypoints_at_zero", [[11, 21, 2, 0, 0, 1, 25, 59, 2, 0, 0, 0]]),
)


@pytest.mark.parametrize(("severity", "table"), [(SKIPPED, LEFT_OUT), (WARNING, REPORTED)])
def test_wrong_values(content, severity, table):
    good = content["annotations"][4]
    for key, check, values in table:
        for value in values:
            content["annotations"][4] = dict(good, **{key: value})
            assert found(content) == [(check, severity, 4)], value


def test_missing_keys(content):
    good = content["annotations"][2]
    for key in ("id", "image_id", "category_id", "bbox", "keypoints", "area"):
        content["annotations"][2] = {name: value for name, value in good.items() if name != key}
        expected = ("area_not_positive", WARNING, 2) if key == "area" else (f"{key}_missing", SKIPPED, 2)
        assert found(content) == [expected]
    content["annotations"][1] = [1]
    assert found(content)[0] == ("no_object", SKIPPED, 1)


def test_an_image_that_is_left_out(content):
    """So are its instances."""
    rows = [("image_id_type", SKIPPED, row) for row in (3, 4)]
    good = content["images"][2]
    for key, values in dict(id=["9"], file_name=[None, " "], width=[0, NAN, True], height=["80", 1e300]).items():
        for value in values:
            content["images"][2] = dict(good, **{key: value})
            assert found(content) == [(f"images_{key}_type", SKIPPED, 2), *rows]
        del content["images"][2][key]
        assert found(content) == [(f"images_{key}_missing", SKIPPED, 2), *rows]
    content["images"][2] = "row"
    assert found(content) == [("images_no_object", SKIPPED, 2), *rows]


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_lists_of_the_file(content, key):
    for value in (None, 3, "rows", {}, []):
        content[key] = value
        assert found(content) == [("no_list", REFUSED, None)]
    del content[key]
    assert found(content) == [("no_list", REFUSED, None)]
    if key == "annotations":  # they are not needed with detected boxes
        assert found(content, need_instances=False) == []
    assert found([content]) == [("no_list", REFUSED, None)]


def test_repeated_ids_and_categories_without_an_id(content):
    content["annotations"][4]["id"] = 3
    assert found(content) == [("id_repeated", REFUSED, 4)]
    content["images"][2]["id"] = 8
    assert found(content) == [("images_id_repeated", REFUSED, 2)]
    content["images"][2]["id"] = 9
    for value, check in ((None, "no_object"), (dict(name="person"), "id_missing"), (dict(id="1"), "id_type")):
        content["categories"][0] = value
        assert found(content) == [(f"category_{check}", REFUSED, None)]


def test_another_number_of_keypoints(content):
    """As with the metainfo of another data set."""
    finding = inspect_annotations(content, "a.json", 17).findings[-1]
    assert finding[:2] == ("too_few_instances", REFUSED)
    assert "5 faulty (most often keypoints_type: 5 in rows 0, 1, 2, ...; keypoints must be a list" in finding.detail
    assert "of the 17 keypoints in metainfo, but has 12 values" in finding.detail


def test_crowds_and_unlabelled_instances_are_counted(content):
    """MMPose leaves them out by design, also with strange boxes."""
    content["annotations"][0].update(iscrowd=1, bbox=[0, 0, 0, 0])
    content["annotations"][1].update(keypoints=[0] * 12, num_keypoints=0, bbox=[300, 0, 0, 0], area=0)
    inspected = inspect_annotations(content, "a.json", K)
    assert inspected.findings == []
    assert inspected.left_out == "1 crowds, 1 without labelled keypoints, 0 faulty"
    for row in content["annotations"]:
        row["iscrowd"] = 1
    assert found(content) == [("too_few_instances", REFUSED, None)]


def test_files_with_mostly_faulty_instances(content):
    for row in content["annotations"][:2]:
        row["bbox"] = [0, 0, 0, 0]
    assert {severity for _, severity, _ in found(content)} == {SKIPPED}
    content["annotations"][2]["bbox"] = [0, 0, 0, 0]
    assert found(content)[-1] == ("too_few_instances", REFUSED, None)
    for row in content["annotations"][:4]:  # a file may have boxes of other categories
        row.pop("keypoints")
    assert {severity for _, severity, _ in found(content)} == {SKIPPED}


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "broken.json"
    for data in (b"", b'{"images": [', b'{"images": "\xff"}', b"\x1f\x8b\x08", b"[" * 100_000):
        path.write_bytes(data)
        with pytest.raises(UserError) as raised:
            read_json(path)
        assert str(raised.value).startswith(f"The annotation file {path} must be complete json in UTF-8, but has '")
        assert "\n" not in str(raised.value)
    with pytest.raises(MissingFileError, match=r"absent\.json does not exist: correct ann_file"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(UserError, match="Is a directory"):
        read_json(tmp_path)

from __future__ import annotations

import copy
import time

import pytest

from tfpose_mm.datasets.annotation_checks import in_tests, inspect_annotations
from tfpose_mm.datasets.findings import REFUSED, SKIPPED, WARNING, Finding, describe_group, group_findings

NAN, INF = float("nan"), float("inf")
K = 4


def annotation(number, image_id, x=10.0):
    """A good instance in a box of 30 x 40 pixels; the last of the four keypoints is not labelled."""
    keypoints = [x + 1, 21, 2, x + 29, 22, 1, x + 15, 59, 2, 0, 0, 0]
    return dict(
        id=number,
        image_id=image_id,
        category_id=1,
        bbox=[x, 20, 30, 40],
        area=700,
        num_keypoints=3,
        iscrowd=0,
        keypoints=keypoints,
    )


@pytest.fixture
def content():
    """Three images of 100 x 80 pixels, with five instances."""
    return dict(
        images=[dict(id=number, file_name=f"{number}.jpg", width=100, height=80) for number in (7, 8, 9)],
        annotations=[
            annotation(n, image_id, x) for n, image_id, x in zip(range(5), (7, 8, 8, 9, 9), range(50, 0, -10))
        ],
        categories=[dict(id=1, name="person")],
    )


def check(content, num_keypoints=K):
    return inspect_annotations(content, "a.json", num_keypoints)[0].findings


def found(content):
    return [(f.check, f.severity, f.row) for f in check(content)]


def test_good_annotations_have_no_findings(content):
    before = copy.deepcopy(content)
    assert found(content) == []
    assert content == before


def test_every_finding_names_its_file(content):
    content["annotations"][1]["bbox"][2] = 0
    (finding,) = check(content)
    assert str(finding) == (
        "a.json, row 1: bbox must have a positive width and height, but is [40, 20, 0, 40]: correct or delete the row"
    )


@pytest.mark.parametrize(
    ("key", "value", "check", "severity"),
    [
        ("bbox", [NAN, 20, 30, 40], "bbox_type", SKIPPED),
        ("bbox", [10, 20, INF, 40], "bbox_type", SKIPPED),
        ("bbox", [10, 20, 1e9, 40], "bbox_type", SKIPPED),
        ("bbox", [10, 20, 10**400, 40], "bbox_type", SKIPPED),
        ("bbox", [10, 20, 0, 40], "bbox_without_area", SKIPPED),
        ("bbox", [10, 20, 30, -40], "bbox_without_area", SKIPPED),
        ("bbox", [10, 20, 0.5, 0.5], "bbox_without_area", SKIPPED),
        ("bbox", [200, 20, 30, 40], "bbox_outside_image", SKIPPED),
        ("bbox", [-40, 20, 30, 40], "bbox_outside_image", SKIPPED),
        ("bbox", [99, 20, 30, 40], "bbox_outside_image", SKIPPED),
        ("bbox", [10, 20, 30], "bbox_type", SKIPPED),
        ("bbox", "10 20 30 40", "bbox_type", SKIPPED),
        ("bbox", None, "bbox_type", SKIPPED),
        ("bbox", [10, 20, "30", 40], "bbox_type", SKIPPED),
        ("bbox", [10, 20, True, 40], "bbox_type", SKIPPED),
        ("bbox", [10, 20, [30], 40], "bbox_type", SKIPPED),
        ("keypoints", [NAN, 21, 2, *[39, 22, 1, 25, 59, 2, 0, 0, 0]], "keypoints_type", SKIPPED),
        ("keypoints", [11, 21, 2, 39, 22, 1, 25, 59, 2, 0, INF, 0], "keypoints_type", SKIPPED),
        ("keypoints", [11, 21, NAN, 39, 22, 1, 25, 59, 2, 0, 0, 0], "keypoints_type", SKIPPED),
        ("keypoints", [11, 21, 10**400, 39, 22, 1, 25, 59, 2, 0, 0, 0], "keypoints_type", SKIPPED),
        ("keypoints", [11, 21, -1, 39, 22, 1, 25, 59, 2, 0, 0, 0], "visibility_negative", SKIPPED),
        ("keypoints", [11, 21, 0, 39, 22, 0, 25, 59, 0, 0, 0, 0], "no_labelled_keypoint", SKIPPED),
        ("keypoints", [11, 21, 2, 39, 22, 1, 25, 590, 2, 0, 0, 0], "keypoints_far_outside", SKIPPED),
        ("keypoints", [11, 90, 2, 39, 91, 1, 25, 92, 2, 0, 0, 0], "keypoints_all_outside", SKIPPED),
        ("keypoints", [11, 21, 2, 11, 21, 1, 11, 21, 2, 0, 0, 0], "keypoints_identical", SKIPPED),
        ("keypoints", [0, 0, 2, -0.5, 0, 1, 0, -1, 2, 0, 0, 0], "keypoints_at_origin", SKIPPED),
        ("keypoints", [11, 21, 2], "keypoints_length", SKIPPED),
        ("keypoints", [*range(13)], "keypoints_length", SKIPPED),
        ("keypoints", None, "keypoints_type", SKIPPED),
        ("keypoints", {}, "keypoints_type", SKIPPED),
        ("keypoints", [11, 21, 2, 39, "22", 1, 25, 59, 2, 0, 0, 0], "keypoints_type", SKIPPED),
        ("keypoints", [11, 21, 2, 39, None, 1, 25, 59, 2, 0, 0, 0], "keypoints_type", SKIPPED),
        ("area", NAN, "area_type", SKIPPED),
        ("area", INF, "area_type", SKIPPED),
        ("area", "700", "area_type", SKIPPED),
        ("area", 0, "area_not_positive", WARNING),
        ("area", -3.5, "area_not_positive", WARNING),
        ("bbox", [60, 20, 30, 40], "keypoints_outside_bbox", WARNING),
        ("keypoints", [11, 21, 3, 39, 22, 1, 25, 59, 2, 0, 0, 0], "visibility_unknown", WARNING),
        ("keypoints", [11, 21, 0.5, 39, 22, 1, 25, 59, 2, 0, 0, 0], "visibility_unknown", WARNING),
        ("keypoints", [11, 21, 2, 39, 22, 1, 25, 85, 2, 0, 0, 0], "keypoints_outside_image", WARNING),
        ("keypoints", [11, 21, 2, 0, 0, 1, 25, 59, 2, 0, 0, 0], "keypoints_at_zero", WARNING),
        ("num_keypoints", 0, "num_keypoints_zero", SKIPPED),
        ("num_keypoints", "3", "num_keypoints_type", SKIPPED),
        ("num_keypoints", None, "num_keypoints_type", SKIPPED),
        ("iscrowd", "0", "iscrowd_type", SKIPPED),
        ("iscrowd", None, "iscrowd_type", SKIPPED),
        ("iscrowd", [], "iscrowd_type", SKIPPED),
        ("image_id", 77, "image_id_unknown", SKIPPED),
        ("image_id", "7", "image_id_type", SKIPPED),
        ("image_id", [7], "image_id_type", SKIPPED),
        ("image_id", True, "image_id_type", SKIPPED),
        ("id", None, "id_type", SKIPPED),
        ("id", 2**63, "id_type", SKIPPED),
        ("id", 1.0, "id_type", SKIPPED),
        ("id", 3, "annotation_id_repeated", REFUSED),
        ("category_id", "1", "category_id_type", SKIPPED),
        ("category_id", 2, "category_unknown", WARNING),
    ],
)
def test_a_wrong_value(content, key, value, check, severity):
    row = 4
    content["annotations"][row][key] = value
    assert found(content) == [(check, severity, row)]


@pytest.mark.parametrize(
    ("key", "check", "severity"),
    [
        *[(key, f"{key}_missing", SKIPPED) for key in ("id", "image_id", "category_id", "bbox", "keypoints")],
        ("area", "area_missing", WARNING),
    ],
)
def test_a_missing_key(content, key, check, severity):
    del content["annotations"][2][key]
    assert found(content) == [(check, severity, 2)]


@pytest.mark.parametrize("key", ["num_keypoints", "iscrowd"])
def test_these_keys_are_optional(content, key):
    del content["annotations"][2][key]
    assert found(content) == []


@pytest.mark.parametrize("value", [None, 3, "row", [1]])
def test_a_row_that_is_no_object(content, value):
    content["annotations"][1] = content["images"][0] = value
    assert found(content)[:2] == [("image_not_object", SKIPPED, 0), ("image_id_unknown", SKIPPED, 0)]
    assert ("annotation_not_object", SKIPPED, 1) in found(content)


@pytest.mark.parametrize(
    ("key", "value", "check"),
    [
        ("id", "9", "image_id_type"),
        ("file_name", None, "file_name_type"),
        ("file_name", " ", "file_name_type"),
        ("width", 0, "image_size"),
        ("width", NAN, "image_size"),
        ("height", "80", "image_size"),
        ("height", 1e300, "image_size"),
        ("height", True, "image_size"),
    ],
)
def test_a_wrong_value_of_an_image(content, key, value, check):
    del content["annotations"][3:]
    content["images"][2][key] = value
    assert found(content) == [(check, SKIPPED, 2)]


@pytest.mark.parametrize("key", ["id", "file_name", "width", "height"])
def test_a_missing_key_of_an_image(content, key):
    """Its annotations refer to no usable image."""
    del content["images"][2][key]
    report, _ = inspect_annotations(content, "a.json", K)
    found = [(f.check, f.severity, f.row) for f in report.findings]
    assert found == [("image_key_missing", SKIPPED, 2), *[("image_id_unknown", SKIPPED, row) for row in (3, 4)]]
    assert (report.skipped_images, report.skipped_rows) == ({2}, {3, 4})


def test_repeated_images(content):
    content["images"][2].update(id=8)
    assert found(content)[0] == ("image_id_repeated", REFUSED, 2)
    content["images"][2].update(id=9, file_name="7.jpg")
    assert found(content) == [("file_name_repeated", WARNING, 2)]


def test_repeated_annotations(content):
    """A copy is left out; another id for the same keypoints is only a warning."""
    content["annotations"].append(copy.deepcopy(content["annotations"][1]))
    assert found(content) == [("annotation_repeated", SKIPPED, 5)]
    content["annotations"][5]["id"] = 99
    assert found(content) == [("instance_repeated", WARNING, 5)]


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, 3, "rows", {}, []])
def test_lists_of_the_file(content, key, value):
    content[key] = value
    assert found(content) == [("list_empty" if value == [] else "not_a_list", REFUSED, None)]
    del content[key]
    assert found(content) == [("key_missing", REFUSED, None)]


def test_a_file_without_annotations_is_good_with_boxes(content):
    del content["annotations"]
    assert inspect_annotations(content, "a.json", K, need_instances=False)[0].findings == []
    content["annotations"] = []
    assert inspect_annotations(content, "a.json", K, need_instances=False)[0].findings == []


@pytest.mark.parametrize("value", [None, [], dict(name="person"), dict(id="1")])
def test_categories(content, value):
    content["categories"][0] = value
    assert found(content) == [("category_id_type", REFUSED, 0)]


def test_another_number_of_keypoints(content):
    """It is refused if most rows have it, as with the metainfo of another data set."""
    (finding,) = check(content, 17)
    assert (finding.check, finding.severity, finding.row) == ("keypoints_length", REFUSED, 0)
    assert "must have 51 numbers, x, y and visibility of 17 keypoints, but has 12, as have 4 other" in finding.detail


def test_crowds_and_unlabelled_instances_are_counted(content):
    """MMPose leaves them out by design, also with strange boxes."""
    content["annotations"][0].update(iscrowd=1, bbox=[0, 0, 0, 0])
    content["annotations"][1].update(keypoints=[0] * 12, num_keypoints=0, bbox=[300, 0, 0, 0], area=0)
    report, _ = inspect_annotations(content, "a.json", K)
    assert report.findings == []
    assert (report.crowds, report.without_keypoints, report.skipped_rows) == (1, 1, set())


def test_files_without_an_instance(content):
    for row in content["annotations"]:
        row["iscrowd"] = 1
    (finding,) = check(content)
    assert finding[:2] == ("no_instance", REFUSED)
    assert "of 5 annotations 5 are crowds, 0 have no labelled keypoint and 0 are faulty" in finding.detail

    for row in content["annotations"]:
        row.update(iscrowd=0, bbox=[0, 0, 0, 0])
    finding = check(content)[-1]
    assert finding[:2] == ("no_instance", REFUSED)
    assert "5 are faulty (most often bbox_without_area: 5 in rows 0, 1, 2, ...; bbox must have" in finding.detail


def test_files_with_mostly_faulty_instances(content):
    for row in content["annotations"][:2]:
        row["bbox"] = [0, 0, 0, 0]
    assert {severity for _, severity, _ in found(content)} == {SKIPPED}
    content["annotations"][2]["bbox"] = [0, 0, 0, 0]
    assert found(content)[-1][:2] == ("too_many_faults", REFUSED)


def test_rows_without_keypoints_do_not_count_as_faulty(content):
    """A file may have boxes of other categories."""
    for row in content["annotations"][1:]:
        del row["keypoints"]
    assert {severity for _, severity, _ in found(content)} == {SKIPPED}


def test_findings_in_tests(content):
    """A test refuses what its metric counts, but not what MMPose leaves out."""
    rows = content["annotations"]
    rows[0]["bbox"], rows[1]["bbox"] = [0, 0, 0, 0], [NAN, 0, 1, 1]
    del rows[2]["area"]
    rows[3]["keypoints"][2] = 3
    findings = check(content)
    before = {(f.check, f.severity) for f in findings}
    assert before == {
        ("bbox_without_area", SKIPPED),
        ("bbox_type", SKIPPED),
        ("area_missing", WARNING),
        ("visibility_unknown", WARNING),
    }
    changed = {(f.check, f.severity) for f in map(in_tests, findings)}
    assert changed - before == {("bbox_type", REFUSED), ("area_missing", REFUSED)}
    assert {(f.check, f.severity) for f in (in_tests(f, use_area=False) for f in findings)} - before == {
        ("bbox_type", REFUSED)
    }


def test_groups_are_short():
    findings = [Finding("a", SKIPPED, "f", row, f"detail {row}") for row in range(5)]
    findings.insert(1, Finding("b", REFUSED, "f", None, "other"))
    first, second = group_findings(findings)
    assert describe_group(first) == "a: 5 in rows 0, 1, 2, ...; detail 0"
    assert describe_group(second) == "b: 1; other"


def test_many_rows_are_checked_fast(content):
    """COCO has 262,465 annotations; 20,000 here, half of them faulty."""
    good = annotation(0, 7)
    faulty = dict(good, bbox=[NAN, 0, 1, 1])
    rows = [dict((faulty, good)[n % 2], id=n) for n in range(20_000)]
    for number, row in enumerate(rows):
        row["keypoints"] = [*row["keypoints"][:9], number % 90, 0, 0]
    content["annotations"] = rows
    start = time.process_time()
    findings = check(content)
    assert time.process_time() - start < 5  # measured: 0.2 s
    assert len([f for f in findings if f.check == "bbox_type"]) == 10_000

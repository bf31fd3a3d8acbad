"""check_data of a config for MPII."""

from __future__ import annotations

import json

import pytest

from tests.helpers import mpii
from tfpose_mm.datasets.checks.checking import check_data


@pytest.fixture
def changed(data):
    """Change rows of a split with a function of its rows; return the file."""
    mpii.from_coco_with_images(data.root)

    def change(split, function):
        file = data.root / f"annotations/mpii_{split}.json"
        content = json.loads(file.read_text())
        function(content)
        file.write_text(json.dumps(content))
        return str(file)

    return change


@pytest.fixture
def cfg(data):
    return mpii.config(data.root)


def places(report):
    return sorted((f.check, f.severity, f.file, f.row) for f in report.findings)


@pytest.mark.parametrize("kind", ["MpiiDataset", "CheckedMpiiDataset"])
def test_good_data_have_no_fault(data, changed, kind):
    report = check_data(mpii.config(data.root, kind))
    assert report.findings == []
    assert [(file.num_annotations, file.num_images) for file in report.files] == [(9, 9), (5, 5)]
    assert [file.not_checked for file in report.files] == 2 * [
        ["instances whose labels are all mirrored, because this needs the keypoints nose, left_eye and right_eye"]
    ]


def test_faults_are_found_in_their_rows(data, changed, cfg):
    def train(rows):
        rows[0]["joints"][3][0] = float("nan")
        rows[1]["scale"] = 0
        rows[2]["joints_vis"][5] = 3

    file = changed("train", train)
    other = changed("val", lambda rows: rows[4]["joints"].pop())
    (data.root / "images/000000000009.jpg").unlink()
    assert places(check_data(cfg)) == [
        ("image_missing", "skipped", file, 8),
        ("joints_length", "refused", other, 4),
        ("joints_vis", "skipped", file, 2),
        ("keypoints_not_finite", "skipped", file, 0),
        ("scale", "skipped", file, 1),
    ]


def test_joints_outside_the_image_need_the_images(changed, cfg):
    def move(rows):
        rows[3]["joints"][0] = [-4, 50]  # right ankle
        rows[5]["joints"][0] = [9000, 50]

    file = changed("train", move)
    outside = [place for place in places(check_data(cfg)) if place[0].endswith(("_image", "_outside"))]
    assert outside == [
        ("keypoints_far_outside", "warning", file, 5),
        ("keypoints_outside_image", "warning", file, 3),
    ]
    report = check_data(cfg, images=False)
    outside = [place for place in places(report) if place[0].endswith(("_image", "_outside"))]
    assert outside == [("keypoints_outside_image", "warning", file, 3)]
    assert "joints outside the image, because MPII's file has no image sizes" in report.files[0].not_checked


@pytest.mark.parametrize("images", [True, False])
def test_flip_pairs_and_units(changed, cfg, images):
    def exchange(rows):
        for left, right in ((13, 12), (3, 2), (4, 1)):  # shoulders, hips, knees
            row = rows[left % 7]
            row["joints"][left], row["joints"][right] = row["joints"][right], row["joints"][left]

    file = changed("train", exchange)
    found = {place[0] for place in places(check_data(cfg, images=images)) if place[2] == file}
    assert "left_right_exchanged" in found


def test_joints_from_0_to_1(changed, cfg):
    def normalise(rows):
        rows[2]["joints"] = [[x / 1000, y / 1000] for x, y in rows[2]["joints"]]

    file = changed("train", normalise)
    fraction = [f for f in check_data(cfg).findings if f.check == "keypoints_outside_bbox"]
    assert [(f.severity, f.file, f.row) for f in fraction] == [("warning", file, 2)]


def test_a_file_in_another_format(data, changed, cfg):
    file = data.root / "annotations/mpii_train.json"
    file.write_text(data.path("train").read_text())  # COCO's
    found = [(f.check, f.severity, f.file, f.row) for f in check_data(cfg).findings]
    assert found == [("mpii_not_a_list", "refused", str(file), None)]
    file.write_text("[")
    assert [(f.check, f.row) for f in check_data(cfg).findings] == [("file_unreadable", None)]

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from tests.helpers.mpii import as_matlab_evaluates, from_coco, write_release
from tfpose_mm.evaluation.mpii_submission import read_release, single_people, write_submission


@pytest.fixture
def release_file(people, tmp_path):
    listed = from_coco(people, "val", tmp_path)
    write_release(tmp_path / "release.mat", [entry["image"] for entry in listed], listed)
    return tmp_path / "release.mat", listed


def test_the_people_who_stand_apart_in_test_images(release_file):
    path, listed = release_file
    people = single_people(read_release(path))
    assert len(people) == len(listed) + 1  # the last person is in two images, once in a group
    assert [person.image for person in people[:-1]] == [entry["image"] for entry in listed]
    assert people[0].image_index == 2  # after a training image and one without people
    assert (people[-1].image_index, people[-1].rect_index) == (2 + len(listed), 2)
    np.testing.assert_allclose([p.center for p in people[:-1]], [entry["center"] for entry in listed])
    np.testing.assert_allclose([p.scale for p in people[:-1]], [entry["scale"] for entry in listed])


def test_matlab_finds_each_point_where_it_was_predicted(release_file, tmp_path):
    release_path, _ = release_file
    release = read_release(release_path)
    people = single_people(release)
    keypoints = np.random.default_rng(0).uniform(0, 300, (len(people), 16, 2))
    write_submission(release, people, keypoints, tmp_path / "out/pred_keypoints_mpii.mat")
    np.testing.assert_allclose(
        as_matlab_evaluates(tmp_path / "out/pred_keypoints_mpii.mat", release_path), keypoints + 1
    )
    assert "annopoints" not in release["annolist"]["annorect"][0, 2].dtype.names  # the release is not changed


@pytest.mark.parametrize("keypoints", [np.zeros((2, 17, 2)), np.full((6, 16, 2), np.nan)])
def test_other_keypoints_are_refused(release_file, tmp_path, keypoints):
    release = read_release(release_file[0])
    people = single_people(release)
    with pytest.raises(ValueError, match=r"keypoints of shape \(6, 16, 2\).*but got shape"):
        write_submission(release, people, keypoints, tmp_path / "pred.mat")
    assert not (tmp_path / "pred.mat").exists()


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere.mat does not exist: mpii_human_pose_v1_u12_1.mat"):
        read_release(tmp_path / "nowhere.mat")
    savemat(tmp_path / "other.mat", {"headboxes_src": np.zeros((2, 2))})
    (tmp_path / "text.mat").write_text("no")
    for name in ("other.mat", "text.mat"):
        with pytest.raises(ValueError, match="not MPII's release file"):
            read_release(tmp_path / name)

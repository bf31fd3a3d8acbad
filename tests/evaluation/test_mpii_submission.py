from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from tests.helpers.mpii import write_mpii, write_release
from tfpose_mm.evaluation.mpii_submission import read_release, single_people, write_submission


@pytest.fixture
def release(people, tmp_path):
    listed = write_mpii(people, tmp_path)
    write_release(tmp_path / "release.mat", listed)
    return read_release(tmp_path / "release.mat"), listed


def test_the_people_who_stand_apart_in_test_images(release):
    content, listed = release
    listed = [*listed, listed[-1]]  # the last person is in two images, once in a group
    expected = [
        (index, 0, entry["image"], tuple(entry["center"]), entry["scale"]) for index, entry in enumerate(listed, 2)
    ]
    expected[-1] = (expected[-1][0], 2, *expected[-1][2:])
    assert single_people(content) == expected


def test_other_keypoints_and_files_are_refused(release, tmp_path):
    for keypoints in (np.zeros((2, 17, 2)), np.full((6, 16, 2), np.nan)):
        with pytest.raises(ValueError, match=r"keypoints of shape \(6, 16, 2\).*but got shape"):
            write_submission(release[0], single_people(release[0]), keypoints, tmp_path / "pred.mat")
    assert not (tmp_path / "pred.mat").exists()
    savemat(tmp_path / "other.mat", {"headboxes_src": np.zeros((2, 2))})
    (tmp_path / "text.mat").write_text("no")
    for name, words in (
        ("nowhere.mat", r"nowhere.mat does not exist: mpii_human_pose_v1_u12_1.mat"),
        ("other.mat", "not MPII's release file"),
        ("text.mat", "not MPII's release file"),
    ):
        with pytest.raises(ValueError, match=words):
            read_release(tmp_path / name)

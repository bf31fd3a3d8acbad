from __future__ import annotations

import json

import pytest

from benchmarks.hold_out import split
from tfpose_mm.errors import UserError


def test_parts_have_all_persons_once_and_their_images(tmp_path):
    persons = [dict(id=number, image_id=number // 2, keypoints=[]) for number in range(11)]
    content = dict(images=[dict(id=number) for number in range(6)], annotations=persons, categories=[dict(id=1)])
    (tmp_path / "train.json").write_text(json.dumps(content))
    kept, held_out = (json.loads(path.read_text()) for path in split(tmp_path / "train.json", 3))
    assert [person["id"] for person in held_out["annotations"]] == [0, 3, 6, 9]
    assert sorted(person["id"] for part in (kept, held_out) for person in part["annotations"]) == list(range(11))
    assert [image["id"] for image in held_out["images"]] == [0, 1, 3, 4]
    assert kept["categories"] == content["categories"]
    assert (tmp_path / "train_held_out.json").is_file()
    with pytest.raises(UserError, match="--every must be between 2 and 11, but is 12"):
        split(tmp_path / "train.json", 12)

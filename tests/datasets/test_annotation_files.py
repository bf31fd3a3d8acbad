from __future__ import annotations

import json

import pytest

from tfpose_mm.datasets.annotation_files import read_annotations, read_json
from tfpose_mm.errors import MissingFileError, UserError

GOOD = '{"images": [{"id": 1}], "annotations": [], "categories": []}'


def test_a_good_file_is_read(tmp_path):
    path = tmp_path / "good.json"
    path.write_text('{"images": [{"file_name": "müller.jpg"}], "x": NaN}', encoding="utf-8")
    content = read_annotations(path)
    assert content["images"] == [{"file_name": "müller.jpg"}]
    assert content["x"] != content["x"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must be json, but is empty: download"),
        (b" \n", "must be json, but is empty"),
        (GOOD[:30].encode(), "must be complete json, but ends early at line 1, column 30:"),
        (GOOD[:-1].encode(), "must be complete json, but ends early at line 1, column"),
        (GOOD[:20].encode() + b"\n", "must be complete json, but ends early at line 1, column 20:"),
        (b'{"images":\n tru', "must be complete json, but ends early at line 2, column 4:"),
        (b'{"images": [1 2]}', "but has 'Expecting ',' delimiter' at line 1, column 15: correct"),
        (b"<html></html>", "but has 'Expecting value' at line 1, column 1"),
        (b"\xef\xbb\xbf{}", "must be json, but has 'Unexpected UTF-8 BOM"),
        (b'{"images": "\xff"}', "must be json in UTF-8, but byte 12 is not UTF-8: unpack"),
        (b"\x1f\x8b\x08\x00", "but byte 1 is not UTF-8"),
        (b"[" * 100_000, "must be json that Python can read"),
        (b"[]", "must contain an object with the keys images, annotations and categories, but contains a list"),
        (b"null", "but contains null"),
        (b'"text"', "but contains a string"),
        (b"3", "but contains a number"),
    ],
)
def test_the_sentence_has_the_file_and_the_place(tmp_path, data, message):
    path = tmp_path / "broken.json"
    path.write_bytes(data)
    with pytest.raises(UserError) as raised:
        read_annotations(path)
    assert str(raised.value).startswith(f"The annotation file {path} ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_cut_is_seen(tmp_path):
    text = json.dumps(dict(images=[dict(id=1, name="ü")], annotations=[1.5, True, None, "a"]), ensure_ascii=False)
    path = tmp_path / "cut.json"
    data = text.encode()
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match=r"must be complete json, but ends early at|is not UTF-8"):
            read_json(path)


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(MissingFileError, match=r"absent\.json does not exist: correct ann_file"):
        read_json(tmp_path / "absent.json")
    with pytest.raises(UserError, match=r"must be a readable file, but reading it fails with 'Is a directory'"):
        read_json(tmp_path)

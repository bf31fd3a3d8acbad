"""Files are complete or absent."""

from __future__ import annotations

import errno
import os

import pytest
from mmengine.fileio import get_file_backend

from tfpose_mm.engine import AtomicBackend, write_atomic
from tfpose_mm.errors import UserError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced(tmp_path):
    for content in (b"first", b"second, longer"):
        write_atomic(tmp_path / "new/weights.pth", content)
        assert (tmp_path / "new/weights.pth").read_bytes() == content
    assert names(tmp_path / "new") == ["weights.pth"]


def test_the_target_has_its_old_content_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    target = tmp_path / "weights.pth"
    target.write_bytes(b"old")
    seen = []
    real = os.fsync

    def look(descriptor):
        seen.append((target.read_bytes(), len(names(tmp_path))))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write_atomic(target, b"new")
    assert seen == [(b"old", 2)]
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path, monkeypatch, number):
    target = tmp_path / "weights.pth"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(number, "no space")))
    with pytest.raises(UserError, match=r"must have 3 MB free for .*weights.pth, but is full \(no space\)"):
        write_atomic(target, b"x" * 3_000_000)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["weights.pth"]


def test_another_error_is_not_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "broken disk")))
    with pytest.raises(OSError, match="broken disk"):
        write_atomic(tmp_path / "weights.pth", b"new")
    assert names(tmp_path) == []


def test_mmengine_finds_the_backend_and_old_files_go_after_new_ones(tmp_path):
    arguments = dict(backend="atomic")
    first, second = get_file_backend(backend_args=arguments), get_file_backend(backend_args=arguments)
    assert isinstance(first, AtomicBackend)
    first.put(b"1", tmp_path / "epoch_1.pth")
    first.remove(tmp_path / "epoch_1.pth")
    assert names(tmp_path) == ["epoch_1.pth"]
    (tmp_path / "other").mkdir()
    second.put(b"2", tmp_path / "other/epoch_2.pth")
    assert names(tmp_path) == ["epoch_1.pth", "other"]
    second.put_text("2", tmp_path / "epoch_2.pth")
    assert names(tmp_path) == ["epoch_2.pth", "other"]
    second.remove(tmp_path / "epoch_2.pth")
    second.put(b"again", tmp_path / "epoch_2.pth")
    second.put(b"3", tmp_path / "epoch_3.pth")
    assert (tmp_path / "epoch_2.pth").read_bytes() == b"again"

"""Files are complete or absent."""

from __future__ import annotations

import os

import pytest
from mmengine.fileio import get_file_backend

from tfpose_mm.engine import AtomicBackend, write_atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_target_has_its_old_content_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    """And after an error."""
    target = tmp_path / "new/weights.pth"
    write_atomic(target, b"old")
    seen, real = [], os.fsync

    def look(descriptor):
        seen.append((target.read_bytes(), len(names(target.parent))))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write_atomic(target, b"new, longer")
    assert seen == [(b"old", 2)]

    def fail(descriptor):
        raise OSError("broken disk")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="broken disk"):
        write_atomic(target, b"newest")
    assert target.read_bytes() == b"new, longer"
    assert names(target.parent) == ["weights.pth"]


def test_mmengine_finds_the_backend_and_old_files_go_after_new_ones(tmp_path):
    arguments = dict(backend="atomic")
    first, second = get_file_backend(backend_args=arguments), get_file_backend(backend_args=arguments)
    assert isinstance(first, AtomicBackend)
    first.put(b"1", tmp_path / "epoch_1.pth")
    first.remove(tmp_path / "epoch_1.pth")
    assert names(tmp_path) == ["epoch_1.pth"]
    second.put(b"2", tmp_path / "other/epoch_2.pth")
    assert names(tmp_path) == ["epoch_1.pth", "other"]
    second.put(b"2", tmp_path / "epoch_2.pth")
    assert names(tmp_path) == ["epoch_2.pth", "other"]
    second.remove(tmp_path / "epoch_2.pth")
    second.put(b"again", tmp_path / "epoch_2.pth")
    second.put(b"3", tmp_path / "epoch_3.pth")
    assert (tmp_path / "epoch_2.pth").read_bytes() == b"again"

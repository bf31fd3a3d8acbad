"""Checkpoints whose loading runs code: it creates a file, whose absence shows that nothing ran."""

from __future__ import annotations

import collections
import io
import os
import pickle
import tarfile

import torch
from mmengine.logging import HistoryBuffer


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def touch(marker):
    """The usual attack: a shell command."""
    return Call(os.system, f"touch {marker}")


def plain_meta():
    return dict(epoch=1, iter=1, seed=None)


def wrap(payload, state=None):
    """A checkpoint as MMEngine writes it, with the payload in its metadata."""
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    return dict(state_dict=state or {}, meta=dict(plain_meta(), payload=payload), message_hub=hub)


def history(marker):
    """A HistoryBuffer whose methods are another function: ``__setstate__`` of the real class installs it."""
    buffer = HistoryBuffer([1.0], [1])
    buffer._statistics_methods = {"mean": os.system}
    return buffer


def attacks(marker):
    """Each attack's checkpoint by its name."""
    code = f"open({str(marker)!r}, 'w').close()"
    counts = collections.defaultdict(os.getcwd)
    return {
        "os.system": wrap(touch(marker)),
        "eval": wrap(Call(eval, code)),
        "exec": wrap(Call(exec, code)),
        "getattr": wrap(Call(getattr, dict, "fromkeys")),
        "getattr of a class": wrap(Call(getattr, HistoryBuffer, "__init__")),
        "history": wrap(history(marker)),
        "defaultdict": wrap(counts),
        "in the weights": dict(state_dict={"weight": touch(marker)}),
        "not a dict": touch(marker),
        "subclass": wrap(torch.nn.Linear(2, 3)),
    }


def save_all(folder, marker):
    """Write all attacks in both formats of torch, and a tar file of torch 0.1; return the files by name."""
    files = {}
    for name, content in attacks(marker).items():
        for form in ("zip", "legacy"):
            path = folder / f"{name.replace(' ', '_')}_{form}.pth"
            torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
            files[f"{name}, {form}"] = path
    files["tar"] = folder / "tar.pth"
    with tarfile.open(files["tar"], "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(touch(marker), protocol=2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    files["pickle"] = folder / "pickle.pth"
    files["pickle"].write_bytes(pickle.dumps(wrap(touch(marker))))
    return files


def save(path, marker, state=None):
    """Write a checkpoint that fits a model, with a shell command in its metadata."""
    torch.save(wrap(touch(marker), state), path)
    return path

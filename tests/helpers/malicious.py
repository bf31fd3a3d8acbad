"""Checkpoints whose loading runs code: it creates a file, whose absence shows that nothing ran."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import tarfile
import zipfile

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


def wrap(payload, state=None):
    """A checkpoint as MMEngine writes it, with the payload in its metadata."""
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    meta = dict(epoch=1, iter=1, seed=None, payload=payload)
    return dict(state_dict=state or {}, meta=meta, message_hub=hub)


def attacks(marker):
    """Each attack's checkpoint by its name."""
    code = f"open({str(marker)!r}, 'w').close()"
    history = HistoryBuffer([1.0], [1])
    history._statistics_methods = {"mean": os.system}  # ``__setstate__`` of the real class installs it
    return {
        "os.system": wrap(touch(marker)),
        "eval": wrap(Call(eval, code)),
        "exec": wrap(Call(exec, code)),
        "getattr": wrap(Call(getattr, dict, "fromkeys")),
        "history": wrap(history),
        "defaultdict": wrap(collections.defaultdict(os.getcwd)),
        "in the weights": dict(state_dict={"weight": touch(marker)}),
        "not a dict": touch(marker),
        "subclass": wrap(torch.nn.Linear(2, 3)),
    }


def text(value):
    """Opcodes of a text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module, attribute):
    """Opcodes of a class or function."""
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def data(value):
    """Opcodes of bytes, as protocol 2 writes them."""
    return name("_codecs", "encode") + text(value.decode("latin1")) + text("latin1") + b"\x86R"


def number(value):
    return b"J" + struct.pack("<i", value)


def dtype(code, flags=0, size=-1):
    """Opcodes of a NumPy dtype with any state: NumPy itself believes it."""
    made = name("numpy", "dtype") + text(code) + b"\x89\x88\x87R"
    return made + b"(" + number(3) + text("|") + b"NNN" + number(size) + number(1) + number(flags) + b"tb"


def scalar(kind, content):
    return name("numpy.core.multiarray", "scalar") + kind + data(content) + b"\x86R"


def opcodes():
    """Pickles that torch's and Python's picklers never write, by name."""
    history = name("mmengine.logging.history_buffer", "HistoryBuffer")
    reconstruct = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85" + data(b"b")
    array = reconstruct + b"\x87R(" + number(1) + b"(" + number(9) + b"t"
    return {
        "object at any address": scalar(dtype("O8", flags=0x20), struct.pack("<Q", 0x41414141)),
        "object without flags": scalar(dtype("O8"), struct.pack("<Q", 0x41414141)),
        "structure": scalar(dtype("V8"), b"12345678"),
        "size of a number": scalar(dtype("f8", size=4), b"1234"),
        "array longer than its data": array + dtype("f8") + b"\x89" + data(b"12345678") + b"tb",
        "objects from bytes": array + dtype("O8") + b"\x89" + data(b"A" * 72) + b"tb",
        "attribute of a class": history + b"N}" + text("__setstate__") + b"K\x01s\x86b",
        "terminal codes": name("evil\x1b[2J", "f"),
        "extension code": b"\x82\x01",
        "long text of a name": name("m" * 5000, "f"),
    }


def ignored():
    """Calls of ``bytes`` and of ``getattr``, which are replaced by a function that ignores its arguments."""
    history = name("mmengine.logging.history_buffer", "HistoryBuffer")
    many = name("builtins", "bytes") + number(2**30) + b"\x85R"
    method = name("builtins", "getattr") + history + text("__init__") + b"\x86R"
    return b"](" + many + method + b"e"


def save_opcodes(path, body):
    """Write opcodes as the ``payload`` of a pickle in a zip file of torch."""
    with zipfile.ZipFile(path, "w") as archive:
        content = b"\x80\x02}" + text("state_dict") + b"}s" + text("payload") + body + b"s."
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return path


def save_attack(path, name, form, marker):
    """Write an attack in a format of torch ("zip", "legacy", or "tar" of torch 0.1), or as a plain pickle."""
    content = attacks(marker)[name]
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    elif form == "tar":
        with tarfile.open(path, "w") as archive:
            for part in ("sys_info", "pickle", "storages", "tensors"):
                data = pickle.dumps(content, protocol=2)
                entry = tarfile.TarInfo(part)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    return path


def save(path, marker, state=None):
    """Write a checkpoint that fits a model, with a shell command in its metadata."""
    torch.save(wrap(touch(marker), state), path)
    return path

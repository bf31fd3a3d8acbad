from __future__ import annotations

import functools
import http.server
import json
import threading

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file
from torch import nn

from tests.helpers import malicious
from tests.helpers.paths import ROOT
from tfpose_mm.engine import read_checkpoint, read_fitting_weights, sha256
from tfpose_mm.errors import UserError

PROMISED = pytest.mark.skipif(torch.__version__ < (2, 6), reason="not promised before torch 2.6, see SECURITY.md")
ATTACKS = [(name, form) for name in malicious.attacks("unused") for form in ("zip", "legacy")]
ATTACKS += [("not a dict", "tar"), ("in the weights", "pickle")]


def refuse(path, load=read_checkpoint):
    """The error is one line, without control characters, that does not advise to trust the file."""
    with pytest.raises(UserError, match=r"must be complete and contain only|must contain a dict") as caught:
        load(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 500 + len(str(path))
    assert "weights_only" not in message
    assert "trust" not in message.lower()
    return message


@pytest.mark.parametrize(("name", "form"), ATTACKS)
@pytest.mark.parametrize("load", [read_checkpoint, CheckpointLoader.load_checkpoint])
def test_no_code_runs(name, form, load, tmp_path):
    path = malicious.save_attack(tmp_path / "a.pth", name, form, tmp_path / "ran")
    message = refuse(path, load)
    assert "system" in message or name != "os.system"  # what is found is named
    assert not (tmp_path / "ran").exists()


def test_the_attacks_work_without_our_loader(tmp_path):
    """Otherwise the test above proves nothing."""
    path = malicious.save_attack(tmp_path / "a.pth", "os.system", "zip", tmp_path / "ran")
    torch.load(path, weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", list(malicious.opcodes()))
def test_pickles_that_no_pickler_writes(name, tmp_path):
    """With NumPy's own functions some of them end the process, or run code."""
    refuse(malicious.save_opcodes(tmp_path / "a.pth", malicious.opcodes()[name]))


@PROMISED
def test_what_a_pickle_gives_to_a_stand_in_is_ignored(tmp_path):
    """A HistoryBuffer would install the methods that the pickle names, ``bytes`` would fill the memory."""
    before = dict(HistoryBuffer._statistics_methods)
    path = malicious.save_opcodes(tmp_path / "ignored.pth", malicious.ignored())
    assert read_checkpoint(path)["payload"] == [b"", b""]
    assert HistoryBuffer._statistics_methods == before


def test_torchscript_programs_are_not_run(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 3)).save(tmp_path / "program.pt")
    refuse(tmp_path / "program.pt")


def test_missing_and_damaged_files_are_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"The checkpoint .*missing\.pth does not exist"):
        read_checkpoint(tmp_path / "missing.pth")
    torch.save(dict(state_dict={"weight": torch.ones(1000)}), tmp_path / "whole.pth")
    cut = (tmp_path / "whole.pth").read_bytes()[:2000]
    for content in (b"", b"PK\x03\x04 and no more", b"<html>404</html>", b"\x80\x02\x8a", cut):
        for name in ("broken.pth", "broken.safetensors"):
            (tmp_path / name).write_bytes(content)
            refuse(tmp_path / name)


@pytest.mark.parametrize("content", [[1], dict(state_dict=None), dict(state_dict={1: torch.ones(1)})], ids=str)
def test_a_state_dict_of_another_kind(content, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    assert "must contain a dict from names to tensors" in refuse(tmp_path / "a.pth")


def training_checkpoint():
    """What MMEngine saves without our hook: histories, arrays, NumPy's numbers."""
    history = HistoryBuffer([3.0, 1.0], [1, 2], max_length=7)
    return dict(
        state_dict={
            "weight": torch.arange(6.0).reshape(2, 3),
            "half": torch.ones(3, dtype=torch.bfloat16),
            "turned": torch.arange(6).reshape(2, 3).T,
            "count": torch.tensor(7),
            "none": torch.zeros(0, 3),
            "parameter": torch.nn.Parameter(torch.ones(2)),
            "complex": torch.ones(2, dtype=torch.complex64),
        },
        meta=dict(
            epoch=3,
            time=np.float64(0.25),
            dataset_meta=dict(sigmas=np.array([0.5, 0.25], np.float32), keypoint_colors=np.zeros((2, 3), np.uint8)),
            sets={1, 2},
            text=np.array(["left", "right"]),
            data=b"\x00\xff",
            empty=b"",
            arrays=(np.arange(6).reshape(2, 3).T, np.arange(3.0).astype(">f4"), np.array([1, "a", None], object)),
            none=np.zeros((0, 4), bool),
        ),
        message_hub=dict(log_scalars={"train/loss": history}, runtime_info={"iter": np.int64(5)}, resumed_keys={}),
        optimizer=dict(state={0: dict(step=torch.tensor(4.0))}, param_groups=[dict(lr=1e-3, params=[0])]),
    )


@PROMISED
@pytest.mark.parametrize("form", ["zip", "legacy", "torch2.1_numpy1.26", "torch2.11_numpy2.5"])
def test_training_checkpoints_are_read_whole(form, tmp_path):
    """Also those of the other stack, which tests/data/write_training_checkpoint.py wrote."""
    saved, path = training_checkpoint(), ROOT / f"tests/data/training_{form}.pth"
    if form in ("zip", "legacy"):
        path = tmp_path / "epoch_3.pth"
        torch.save(saved, path, _use_new_zipfile_serialization=form == "zip")
    read = read_checkpoint(path)
    torch.testing.assert_close(dict(read["state_dict"]), saved["state_dict"], atol=0, rtol=0)
    history = read["message_hub"]["log_scalars"]["train/loss"]
    assert type(history) is HistoryBuffer
    assert (history.mean(), history.current(), history.max_length) == (pytest.approx(4 / 3), 1.0, 7)
    assert history._log_history.tolist() == [3.0, 1.0]
    meta, expected = read["meta"], saved["meta"]
    arrays = [(*m["arrays"], m["none"], *m["dataset_meta"].values()) for m in (meta, expected)]
    for found, wanted in zip(*arrays):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_equal(meta, expected)
    assert read["optimizer"] == saved["optimizer"]


@pytest.mark.parametrize("text", ["{", "[" * 100000, '{"%s": 1}' % ("1" * 5000)])
def test_wrong_metadata_of_safetensors(text, tmp_path):
    save_file({"weight": torch.ones(2)}, str(tmp_path / "a.safetensors"), metadata={"tfpose_mm": text})
    refuse(tmp_path / "a.safetensors")


def test_configs_in_a_checkpoint_are_not_executed(tmp_path):
    """MMEngine executes meta["config"] when it resumes and cfg for inferencers without a config."""
    code = f"open({str(tmp_path / 'ran')!r}, 'w').close()"
    content = dict(
        state_dict={"weight": torch.ones(2)},
        meta=dict(config=code, cfg=code, epoch=1),
        message_hub=dict(log_scalars={}, runtime_info=dict(cfg=code), resumed_keys={}),
    )
    torch.save(content, tmp_path / "config.pth")
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / "config.pth"))
    assert loaded["meta"] == dict(epoch=1)
    assert loaded["message_hub"]["runtime_info"] == {}
    assert read_checkpoint(tmp_path / "config.pth")["meta"]["cfg"] == code  # the tool "publish" writes it, as text
    assert not (tmp_path / "ran").exists()


def test_safetensors(tmp_path):
    tensors = {"weight": torch.arange(6.0).reshape(2, 3)}
    save_file(tensors, str(tmp_path / "plain.safetensors"), metadata={"format": "pt"})
    read = read_checkpoint(tmp_path / "plain.safetensors", map_location="cpu")
    assert torch.equal(read["state_dict"]["weight"], tensors["weight"])
    assert read["meta"] == {}
    meta = dict(epoch=2, dataset_meta=dict(sigmas=[0.5, 0.25], keypoint_id2name={"0": "nose", "1": "neck"}))
    save_file(tensors, str(tmp_path / "ours.safetensors"), metadata={"tfpose_mm": json.dumps(meta)})
    read = read_checkpoint(tmp_path / "ours.safetensors")
    assert read["meta"]["dataset_meta"]["keypoint_id2name"] == {0: "nose", 1: "neck"}
    assert read["meta"]["dataset_meta"]["sigmas"].dtype == np.float32
    model = torch.nn.Linear(3, 2, bias=False)
    load_checkpoint(model, str(tmp_path / "ours.safetensors"))
    assert torch.equal(model.weight, tensors["weight"])


def test_a_published_file_that_changed_is_refused(tmp_path):
    path = tmp_path / "model-00000000.safetensors"
    save_file({"weight": torch.ones(2)}, str(path), metadata={"tfpose_mm": json.dumps(dict(epoch=2))})
    with pytest.raises(UserError, match="must have the SHA-256 that its name ends in"):
        read_checkpoint(path)
    read_checkpoint(path.rename(tmp_path / f"model-{sha256(path)[:8]}.safetensors"))


@pytest.fixture
def server(tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_downloads(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    torch.save({"backbone.weight": torch.ones(2), "head.weight": torch.ones(3)}, tmp_path / "good-12345678.pth")
    malicious.save(tmp_path / "bad.pth", tmp_path / "ran")
    good = CheckpointLoader.load_checkpoint(f"{server}/good-12345678.pth", map_location="cpu")
    assert torch.equal(good["backbone.weight"], torch.ones(2))
    (tmp_path / "good-12345678.pth").unlink()  # the second time it comes from the cache
    assert len(CheckpointLoader.load_checkpoint(f"{server}/good-12345678.pth")) == 2
    with pytest.raises(UserError, match="could run code"):
        CheckpointLoader.load_checkpoint(f"{server}/bad.pth")
    assert not (tmp_path / "ran").exists()


def test_differences_are_a_table(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), *(nn.Linear(1, 1, bias=False) for _ in range(41)))
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save({**state, "steps": "text"}, tmp_path / "fits.pth")
    assert list(read_fitting_weights(model, tmp_path / "fits.pth")) == [*model.state_dict(), "steps"]
    assert read_fitting_weights(nn.DataParallel(model), tmp_path / "fits.pth")  # the wrapper of several GPUs
    del state["module.1.num_batches_tracked"]
    torch.save({**state, "c": torch.ones(5)}, tmp_path / "fits.pth")  # all parameters are there
    assert "c" in read_fitting_weights(model, tmp_path / "fits.pth")
    torch.save({"0.weight": torch.ones(2, 4), "0.bias": torch.ones(2), "c": torch.ones(5)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not fit the config's model: use the config") as error:
        read_fitting_weights(model, tmp_path / "other.pth")
    lines = str(error.value).splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["parameter", "model", "checkpoint"]
    assert rows[2] == ["0.weight", "2 x 3", "2 x 4"]
    assert rows[3] == ["1.weight", "2", "missing"]
    assert rows[7] == ["1.num_batches_tracked", "scalar", "missing"]
    assert len(lines) == 2 + 40 + 1
    assert lines[-1] == "and 8 more"

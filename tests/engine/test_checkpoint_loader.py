from __future__ import annotations

import functools
import http.server
import io
import json
import os
import pickle
import threading

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, load_checkpoint
from safetensors.torch import save_file

from tests.helpers import malicious
from tests.helpers.paths import ROOT
from tfpose_mm.engine import checkpoint_loader, read_checkpoint
from tfpose_mm.utils import UserError

NAMES = [f"{name}, {form}" for name in malicious.attacks("unused") for form in ("zip", "legacy")]


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "the code ran".replace(" ", "_")


@pytest.mark.parametrize("name", [*NAMES, "tar", "pickle"])
@pytest.mark.parametrize("load", [read_checkpoint, CheckpointLoader.load_checkpoint])
def test_no_code_runs(name, load, tmp_path, marker):
    path = malicious.save_all(tmp_path, marker)[name]
    with pytest.raises(UserError, match=r"could run code: it was not loaded|is not a checkpoint") as caught:
        load(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_the_attacks_work_without_our_loader(tmp_path, marker):
    """Otherwise the test above proves nothing."""
    path = malicious.save_all(tmp_path, marker)["os.system, zip"]
    with path.open("rb") as file:
        torch.load(file, map_location="cpu", weights_only=False)
    assert marker.exists()


def test_what_is_found_is_named(tmp_path, marker):
    path = malicious.save_all(tmp_path, marker)["os.system, zip"]
    with pytest.raises(UserError) as caught:
        read_checkpoint(path)
    assert str(caught.value) == (
        f"The checkpoint {path} must contain only tensors, numbers and text, but it contains {os.name}.system, which "
        "could run code: it was not loaded; use a .safetensors file, or, if the file is yours, save its state_dict "
        "alone, as in torch.save(dict(state_dict=model.state_dict()), PATH)."
    )


def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(3, 2)).save(str(tmp_path / "program.pt"))
    with pytest.raises(UserError, match="is a TorchScript program, not a checkpoint"):
        read_checkpoint(tmp_path / "program.pt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"<html>404</html>", b"\x80\x02\x8a"])
@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_damaged_files_are_one_sentence(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="is not a") as caught:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"The checkpoint .*missing\.pth does not exist"):
        read_checkpoint(tmp_path / "missing.pth")


def test_a_cut_file_is_one_sentence(tmp_path):
    torch.save(dict(state_dict={"weight": torch.ones(1000)}), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.pth is not a complete checkpoint"):
        read_checkpoint(tmp_path / "cut.pth")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="must contain a dict with parameters, but contains a list"):
        read_checkpoint(tmp_path / "list.pth")


def training_checkpoint():
    """What MMEngine saves without our hook: histories, arrays, NumPy's numbers."""
    history = HistoryBuffer([3.0, 1.0], [1, 2], max_length=7)
    return dict(
        state_dict={"weight": torch.arange(6.0).reshape(2, 3), "half": torch.ones(3, dtype=torch.bfloat16)},
        meta=dict(
            epoch=3,
            time=np.float64(0.25),
            dataset_meta=dict(sigmas=np.array([0.5, 0.25], np.float32), keypoint_colors=np.zeros((2, 3), np.uint8)),
            sets={1, 2},
            text=np.array(["left", "right"]),
            data=b"\x00\xff",
        ),
        message_hub=dict(log_scalars={"train/loss": history}, runtime_info={"iter": np.int64(5)}, resumed_keys={}),
        optimizer=dict(state={0: dict(step=torch.tensor(4.0))}, param_groups=[dict(lr=1e-3, params=[0])]),
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_training_checkpoints_are_read_whole(zipped, tmp_path):
    saved = training_checkpoint()
    torch.save(saved, tmp_path / "epoch_3.pth", _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / "epoch_3.pth")
    assert_equal_content(read, saved)


def assert_equal_content(read, saved):
    for name, tensor in saved["state_dict"].items():
        assert torch.equal(read["state_dict"][name], tensor)
        assert read["state_dict"][name].dtype == tensor.dtype
    history = read["message_hub"]["log_scalars"]["train/loss"]
    assert type(history) is HistoryBuffer
    assert (history.mean(), history.current(), history.max_length) == (pytest.approx(4 / 3), 1.0, 7)
    assert history._log_history.tolist() == [3.0, 1.0]
    meta, expected = read["meta"], saved["meta"]
    for name in ("sigmas", "keypoint_colors"):
        assert meta["dataset_meta"][name].dtype == expected["dataset_meta"][name].dtype
        assert np.array_equal(meta["dataset_meta"][name], expected["dataset_meta"][name])
    for name in ("epoch", "time", "sets", "data"):
        assert meta[name] == expected[name]
    assert meta["text"].tolist() == ["left", "right"]
    assert read["optimizer"]["param_groups"] == saved["optimizer"]["param_groups"]
    assert read["optimizer"]["state"][0]["step"] == 4


@pytest.mark.parametrize("name", ["torch2.1_numpy1.26", "torch2.11_numpy2.5"])
def test_checkpoints_of_the_other_stack(name):
    """Written by tests/data/write_training_checkpoint.py; numpy 2 moved the functions that arrays name in a pickle."""
    read = read_checkpoint(ROOT / f"tests/data/training_{name}.pth")
    assert_equal_content(read, training_checkpoint())


def test_methods_of_histories_cannot_be_replaced(tmp_path):
    """The pickle has names of methods: HistoryBuffer would install whatever it finds."""
    before = dict(HistoryBuffer._statistics_methods)
    state = training_checkpoint()
    torch.save(state, tmp_path / "a.pth")
    data = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "b.pth").write_bytes(data.replace(b"X\x04\x00\x00\x00mean", b"X\x04\x00\x00\x00nean"))
    with pytest.raises(UserError):
        read_checkpoint(tmp_path / "b.pth")
    assert HistoryBuffer._statistics_methods == before


def test_configs_in_a_checkpoint_are_not_executed(tmp_path, marker):
    """MMEngine executes meta["config"] when it resumes and cfg for inferencers without a config."""
    code = f"open({str(marker)!r}, 'w').close()"
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
    assert not marker.exists()


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
    digest = checkpoint_loader.sha256(path)
    read_checkpoint(path.rename(tmp_path / f"model-{digest[:8]}.safetensors"))


@pytest.fixture
def server(tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_downloads(server, tmp_path, marker, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    torch.save({"backbone.weight": torch.ones(2), "head.weight": torch.ones(3)}, tmp_path / "good-12345678.pth")
    malicious.save(tmp_path / "bad.pth", marker)
    good = CheckpointLoader.load_checkpoint(f"{server}/good-12345678.pth", map_location="cpu")
    assert torch.equal(good["backbone.weight"], torch.ones(2))
    (tmp_path / "good-12345678.pth").unlink()  # the second time it comes from the cache
    assert len(CheckpointLoader.load_checkpoint(f"{server}/good-12345678.pth")) == 2
    with pytest.raises(UserError, match="could run code"):
        CheckpointLoader.load_checkpoint(f"{server}/bad.pth")
    tables = {"get_torchvision_models": "resnet50", "get_external_models": "a/b", "get_mmcls_models": "vgg"}
    for function, name in tables.items():
        monkeypatch.setattr(checkpoint_loader, function, lambda name=name: {name: f"{server}/good-12345678.pth"})
    for address in ("torchvision://resnet50", "modelzoo://resnet50", "open-mmlab://a/b", "openmmlab://a/b"):
        assert set(CheckpointLoader.load_checkpoint(address)) == {"backbone.weight", "head.weight"}
    assert set(CheckpointLoader.load_checkpoint("mmcls://vgg")["state_dict"]) == {"weight"}
    with pytest.raises(UserError, match="There are no weights torchvision://resnet51: check the name"):
        CheckpointLoader.load_checkpoint("torchvision://resnet51")
    with pytest.raises(UserError, match=r"but got s3://bucket/x\.pth: download the file first"):
        CheckpointLoader.load_checkpoint("s3://bucket/x.pth")
    assert not marker.exists()


def test_mmengine_s_zoos_still_have_their_names():
    """The names of weights come from MMEngine's own tables."""
    assert checkpoint_loader.get_torchvision_models()["resnet50"].startswith("https://")
    assert checkpoint_loader.get_mmcls_models()["vgg16"].startswith("https://")


def test_every_scheme_of_mmengine_is_replaced():
    loaders = set(CheckpointLoader._schemes.values())
    assert {loader.__module__ for loader in loaders} == {"tfpose_mm.engine.checkpoint_loader"}


def test_pickles_are_unpickled_by_the_restricted_unpickler_only(tmp_path, marker):
    """The path for torch before 2.6, on any torch."""
    from tfpose_mm.engine.allowed_types import RestrictedUnpickler, restricted_pickle

    for name in ("os.system", "eval", "getattr", "history", "subclass"):
        path = tmp_path / "attack.pth"
        torch.save(malicious.attacks(marker)[name], path)
        with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
            torch.load(path, pickle_module=restricted_pickle, weights_only=False)
    torch.save(training_checkpoint(), path)
    read = torch.load(path, pickle_module=restricted_pickle, weights_only=False)
    assert torch.equal(read["state_dict"]["weight"], training_checkpoint()["state_dict"]["weight"])
    assert not marker.exists()
    found = RestrictedUnpickler(io.BytesIO(b"")).find_class("torch._utils", "_rebuild_tensor_v2")
    assert found is not torch._utils._rebuild_tensor_v2  # a pickle may set attributes of what it gets
    with pytest.raises(pickle.UnpicklingError, match=r"_codecs\.encode to rot13"):
        RestrictedUnpickler(io.BytesIO(b"")).find_class("_codecs", "encode")("x", "rot13")

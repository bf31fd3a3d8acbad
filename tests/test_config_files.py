from __future__ import annotations

import pytest

import tfpose_mm
from tests.helpers.paths import ROOT, TINY
from tfpose_mm.config_files import read_config
from tfpose_mm.errors import UserError


def test_all_configs_are_listed_once():
    paths = [path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts]
    assert tfpose_mm.list_configs() == sorted(path.stem for path in paths)


def test_a_config_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = tfpose_mm.get_config("tfpose_r50_coco_256x192")
    assert cfg.model.head.type == "TFPoseHead"
    assert read_config("tfpose_r50_coco_256x192").model.head.num_joints == 17
    assert tfpose_mm.get_config("tfpose_r50_coco_256x192.py").codec == cfg.codec


def test_a_wrong_name_gets_similar_ones():
    with pytest.raises(
        UserError, match=r"tfpose_r5_coco_256x192 is neither a file nor a packaged config.*.*tfpose_r50_coco_256x192"
    ):
        tfpose_mm.get_config("tfpose_r5_coco_256x192")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.py", "The config .*nowhere.py does not exist"),
        ("README.md", r"The config .*README.md cannot be read \(OSError: Only py"),
        ("configs/_base_/protection.py", "builds no model, but this command needs .* TopdownPoseEstimator"),
    ],
)
def test_what_is_no_config_is_refused(path, message):
    with pytest.raises(UserError, match=message):
        read_config(ROOT / path)


def test_options_are_values_or_texts():
    changed = read_config(TINY, ["model.head.num_joints=14", "codec.input_size=(48,64)", "test_evaluator=[]"])
    assert (changed.model.head.num_joints, changed.codec.input_size) == (14, (48, 64))
    again = read_config(changed, {"model.head.num_joints": 15})
    assert (again.model.head.num_joints, changed.model.head.num_joints) == (15, 14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["codec.input_size=(1,2"], "--cfg-options cannot be read"),
        (["model.type.name=3"], "--cfg-options do not fit the config"),
        (["--work-dir=x"], "must have the form key=value, but got --work-dir=x"),
        (["x"], "must have the form key=value, but got x"),
    ],
)
def test_options_that_do_not_fit_are_a_sentence(options, message):
    with pytest.raises(UserError, match=message):
        read_config(TINY, options)


@pytest.mark.parametrize("text", ["model = dict(\n", "_base_ = 'nowhere.py'\n", "size = 3 / 0\n"])
def test_a_config_with_a_mistake_is_a_sentence(text, tmp_path):
    (tmp_path / "wrong.py").write_text(text)
    with pytest.raises(UserError, match=r"The config .*wrong\.py cannot be read \(.*\): correct it\."):
        read_config(tmp_path / "wrong.py")

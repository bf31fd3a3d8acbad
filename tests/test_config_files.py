from __future__ import annotations

import pytest
from mmengine.config import Config

import tfpose_mm
from tests.helpers.paths import MAIN, ROOT, TINY
from tfpose_mm.config_files import config_name, read_config
from tfpose_mm.errors import UserError


def test_all_configs_are_listed_once():
    paths = [path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts]
    assert tfpose_mm.list_configs() == sorted(path.stem for path in paths)


def test_a_config_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main = Config.fromfile(str(MAIN))
    for found in (tfpose_mm.get_config(MAIN.stem), tfpose_mm.get_config(MAIN.name), read_config(MAIN.name)):
        assert found.to_dict() == main.to_dict()
    for wrong, similar in (("tfpose_r5_coco_256x192", "tfpose_r50_coco_256x192"), ("tfpose_tiny", TINY.stem)):
        with pytest.raises(UserError, match=f"{wrong} is neither a file .*, for .* {similar}"):
            tfpose_mm.get_config(wrong)


def test_the_name_of_config_py_is_that_of_its_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.py").write_text("a = 1\n")
    assert config_name(Config.fromfile("config.py")) == tmp_path.name
    assert config_name(Config.fromfile(str(TINY))) == TINY.stem
    assert config_name(Config(dict(a=1))) == "config"


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ("nowhere.py", None, "The config .*nowhere.py does not exist"),
        ("README.md", None, r"The config .*README.md cannot be read \(OSError: Only py.*\): correct it\."),
        ("configs/_base_/protection.py", None, "builds no model, but this command needs .* TopdownPoseEstimator"),
        (TINY, ["codec.input_size=(1,2"], "--cfg-options cannot be read"),
        (TINY, ["model.type.name=3"], "--cfg-options do not fit the config"),
        (TINY, ["--work-dir=x"], "must have the form key=value, but got --work-dir=x"),
        (TINY, ["x"], "must have the form key=value, but got x"),
    ],
)
def test_what_is_no_config_and_options_that_do_not_fit_are_refused(config, options, message):
    with pytest.raises(UserError, match=message):
        read_config(ROOT / config, options)


def test_a_config_in_pure_python(tmp_path):
    (tmp_path / "base.py").write_text("train_cfg = dict(max_epochs=3)\n")
    (tmp_path / "pure.py").write_text(
        "from mmengine.config import read_base\nfrom mmpose.models import TopdownPoseEstimator\n"
        "with read_base():\n    from .base import *\nmodel = dict(type=TopdownPoseEstimator)\n"
    )
    assert read_config(tmp_path / "pure.py").train_cfg.max_epochs == 3
    (tmp_path / "pure.py").write_text((tmp_path / "pure.py").read_text().replace("TopdownPose", "BottomupPose"))
    with pytest.raises(UserError, match="builds a BottomupPoseEstimator, but this command needs"):
        read_config(tmp_path / "pure.py")


def test_options_are_values_or_texts():
    changed = read_config(TINY, ["model.head.num_joints=14", "codec.input_size=(48,64)", "test_evaluator=[]"])
    assert (changed.model.head.num_joints, changed.codec.input_size) == (14, (48, 64))
    again = read_config(changed, {"model.head.num_joints": 15})
    assert (again.model.head.num_joints, changed.model.head.num_joints) == (15, 14)


@pytest.mark.parametrize("text", ["model = dict(\n", "_base_ = 'nowhere.py'\n", "size = 3 / 0\n"])
def test_a_config_with_a_mistake_is_a_sentence(text, tmp_path):
    (tmp_path / "wrong.py").write_text(text)
    with pytest.raises(UserError, match=r"The config .*wrong\.py cannot be read \(.*\): correct it\."):
        read_config(tmp_path / "wrong.py")

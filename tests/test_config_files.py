from __future__ import annotations

import pytest

import tfpose_mm
from tests.helpers.paths import ROOT
from tfpose_mm.engine.running import read_config
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

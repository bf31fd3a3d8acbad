from __future__ import annotations

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmpose.registry import MODELS

from tests.helpers.models import load_tiny as load
from tests.helpers.paths import ROOT
from tfpose_mm.analysis import find_problems


def test_the_shipped_config_agrees():
    assert find_problems(*load()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            dict(optim_wrapper__paramwise_cfg__custom_keys={"neck.encoder": dict(lr_mult=0.1)}),
            ["'neck.encoder', which no"],
        ),
        (
            dict(optim_wrapper__paramwise_cfg=None),
            ["neck.transformer_encoder, head.transformer_decoder learn at the full rate 0.004"],
        ),
        (dict(model__head__decoder__sigma=3), ["model.head.decoder is"]),
        (dict(train_dataloader__dataset__pipeline__6__encoder__sigma=3), ["train_dataloader's targets are made by"]),
        (
            dict(val_dataloader__dataset__pipeline__2__input_size=(192, 256)),
            ["val_dataloader crops to (192, 256), but the codec's input_size is (96, 128)"],
        ),
        (dict(test_dataloader__dataset__pipeline__2__use_udp=False), ["test_dataloader crops without use_udp"]),
        (dict(model__test_cfg__keypoint_scores="hetmap"), ["keypoint_scores is 'hetmap': choose None, 'heatmap' or"]),
        (dict(model__test_cfg__shift_coords=True), ["a mirrored label of TFPoseLabel is 1 - x"]),
        (
            dict(codec__heatmap_size=(20, 32), model__head__decoder__heatmap_size=(20, 32)),
            ["train_dataloader's targets", "predicts heat maps of (24, 32) (w, h), but the codec draws (20, 32)"],
        ),
        (dict(model__test_cfg__flip_tset=True), ["test_cfg has 'flip_tset', which TFPoseHead does not read"]),
        (
            dict(val_dataloader__dataset__pipeline__2__use_upd=True),
            ["val_dataloader's step TopdownAffine cannot be built"],
        ),
        (dict(train_dataloader__dataset__pipeline__2__type="RandomFlop"), ["RandomFlop cannot be built"]),
        (dict(model__head__num_joints=14), ["predicts 14 keypoints, but train_dataloader has 17", "val", "test"]),
    ],
)
def test_what_disagrees_is_found(options, expected):
    problems = find_problems(*load(**options))
    assert len(problems) == len(expected)
    for problem, words in zip(problems, expected):
        assert words in problem


def test_a_list_where_another_copy_has_a_tuple_agrees():
    cfg, model = load()
    cfg.codec.input_size = list(cfg.codec.input_size)  # what --cfg-options makes of 96,128
    assert find_problems(cfg, model) == []


def test_a_step_without_its_arguments_is_found():
    cfg, model = load()
    del cfg.val_dataloader.dataset.pipeline[2]["input_size"]
    unbuilt, size = find_problems(cfg, model)
    assert "val_dataloader's step TopdownAffine cannot be built" in unbuilt
    assert "val_dataloader crops to None" in size


def test_what_another_head_left_in_test_cfg_agrees():
    assert find_problems(*load(model__test_cfg__flip_mode="heatmap")) == []


def test_annotations_of_other_joints_are_found(tmp_path):
    cfg, model = load()
    (tmp_path / "val.json").write_text(json.dumps(dict(annotations=[dict(keypoints=[0] * 42), dict(bbox=[])])))
    cfg.val_dataloader.dataset.update(data_root=str(tmp_path), ann_file="val.json")
    (problem,) = find_problems(cfg, model)
    assert "val.json has 14 keypoints for a person, but its metainfo 17" in problem


def test_joints_that_do_not_fit_are_found():
    cfg = Config.fromfile(str(ROOT / "configs/tfpose_r18_lspet_128x96.py"))
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    assert find_problems(cfg, model) == []
    joints = cfg.train_dataloader.dataset.metainfo
    joints.keypoint_info[0].swap = ""
    joints.sigmas = joints.sigmas[:-1]
    cfg.val_dataloader.dataset.metainfo.keypoint_info[1].swap = "left_nee"
    one_way, sigmas, unknown = find_problems(cfg, model)
    assert "train_dataloader's metainfo swaps left_ankle with right_ankle, but not the reverse" in one_way
    assert "train_dataloader's metainfo has 13 sigmas for 14 joints" in sigmas
    assert "val_dataloader's metainfo names a joint 'left_nee' that it does not define" in unknown


def test_mmpose_s_own_configs_agree():
    cfg = get_config("mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py")
    assert find_problems(cfg, MODELS.build(cfg.model)) == []


def test_checking_leaves_the_model_as_it_was():
    cfg, model = load()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    find_problems(cfg, model)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmpose.registry import MODELS

from tests.test_configs import ROOT
from tfpose_mm.analysis import describe, find_problems, parameter_groups

TINY = ROOT / "configs/tfpose_tiny_synthetic_128x96.py"


def load(**options):
    cfg = Config.fromfile(str(TINY))
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in options.items()})
    return cfg, MODELS.build(cfg.model)


def test_groups_hold_every_parameter_once_under_its_module():
    cfg, model = load()
    full, tenth = parameter_groups(cfg, model)
    assert full.modules == ("backbone", "neck.input_proj", "head.reg_branches", "head.aux_branch")
    assert tenth.modules == ("neck.transformer_encoder", "head.transformer_decoder")
    assert full.parameters + tenth.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert full.tensors + tenth.tensors == len(list(model.parameters()))


def test_a_group_of_single_parameters_is_named_by_them():
    cfg, model = load()
    cfg.optim_wrapper.paramwise_cfg.custom_keys["transformer_encoder.layers.0.norms.0"] = dict(decay_mult=0.0)
    (without_decay,) = (group for group in parameter_groups(cfg, model) if not group.weight_decay)
    assert without_decay.modules == ("neck.transformer_encoder.layers.0.norms.0",)
    assert (without_decay.tensors, without_decay.parameters) == (2, 128)


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
        (dict(model__head__num_joints=14), ["predicts 14 keypoints, but train_dataloader has 17", "val", "test"]),
    ],
)
def test_what_disagrees_is_found(options, expected):
    problems = find_problems(*load(**options))
    assert len(problems) == len(expected)
    for problem, words in zip(problems, expected):
        assert words in problem


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


def test_the_description_names_each_part_of_the_recipe():
    text = describe(*load())
    for words in (
        "neck DeformableTransformerNeck",
        "lr 0.0004, weight decay 0.0001",
        "AdamW(lr=0.004, betas=(0.9, 0.999)",
        "16 epochs, 16 images",
        "LinearLR(start_factor=0.001, begin=0, end=100",
        "rotate_factor=20.0",
        "TFPoseLabel(input_size=(96, 128)",
        "TFPoseLoss(aux_weight=50.0)",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("topdown_regression/coco/td-reg_res50_rle-8xb64-210e_coco-256x192", "RegressionLabel(input_size=(192, 256))"),
        ("rtmpose/body8/rtmpose-t_8xb256-420e_body8-256x192", "CombinedDataset"),
        ("topdown_heatmap/coco/td-hm_2xmspn50_8xb32-210e_coco-256x192", "MegviiHeatmap"),
    ],
)
def test_configs_of_mmpose_itself_can_be_described(name, words):
    cfg = get_config(f"mmpose::body_2d_keypoint/{name}.py")
    cfg.merge_from_dict(dict(auto_scale_lr=None))
    model = MODELS.build(cfg.model)
    assert words in describe(cfg, model)


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

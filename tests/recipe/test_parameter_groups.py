from __future__ import annotations

import pytest
from mmengine.hub import get_config
from mmpose.registry import MODELS

from tests.helpers.models import load_tiny as load
from tfpose_mm.recipe.parameter_groups import describe, parameter_groups


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


def test_the_description_names_each_part_of_the_recipe():
    text = describe(*load())
    for words in (
        "neck DeformableTransformerNeck",
        "lr 0.0004, weight decay 0.0001",
        "AdamW(lr=0.004, betas=(0.9, 0.999)",
        "16 epochs, batch size 16 per process",
        "LinearLR(start_factor=0.001, begin=0, end=100",
        "rotate_factor=20.0",
        "TFPoseLabel(input_size=(96, 128)",
        "TFPoseLoss(aux_weight=50.0)",
    ):
        assert words in text


def test_a_copied_head_without_its_learning_rates_is_noticed():
    cfg, model = load()
    note = "one learning rate for all parts of TFPoseHead; the paper's: custom_keys={'transformer_': "
    assert note not in describe(cfg, model)
    cfg.optim_wrapper.paramwise_cfg = None
    assert note in describe(cfg, model)
    cfg.model.head.type = "HeatmapHead"
    assert note not in describe(cfg, model)


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

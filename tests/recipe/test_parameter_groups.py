from __future__ import annotations

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


def test_a_loop_of_iterations_and_a_config_of_mmpose_are_described():
    cfg = get_config("mmpose::body_2d_keypoint/rtmpose/body8/rtmpose-t_8xb256-420e_body8-256x192.py")
    cfg.merge_from_dict(dict(auto_scale_lr=None))
    cfg.train_cfg = dict(by_epoch=False, max_iters=7, val_interval=3)
    text = describe(cfg, MODELS.build(cfg.model))
    assert "7 iterations, batch size 256 per process; the learning rates are for batch size ?" in text
    assert "rotate_factor=80" in text  # of the inner pipelines

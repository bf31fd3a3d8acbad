from __future__ import annotations

import re

import pytest
from mmengine.config import Config
from mmengine.hub import get_config
from mmpose.registry import MODELS
from torch import nn

from tests.helpers.models import load_tiny as load
from tests.helpers.paths import ROOT, TINY
from tfpose_mm.config_files import read_config
from tfpose_mm.errors import UserError
from tfpose_mm.recipe import describe, find_problems, parameter_groups, show_recipe
from tfpose_mm.training import evaluate


def test_groups_hold_every_parameter_once_under_its_module():
    cfg, model = load()
    full, tenth = parameter_groups(cfg, model)
    assert full.modules == ("backbone", "neck.input_proj", "head.reg_branches", "head.aux_branch")
    assert tenth.modules == ("neck.transformer_encoder", "head.transformer_decoder")
    assert full.parameters + tenth.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert full.tensors + tenth.tensors == len(list(model.parameters()))
    cfg.optim_wrapper.paramwise_cfg.custom_keys["transformer_encoder.layers.0.norms.0"] = dict(decay_mult=0.0)
    (without_decay,) = (group for group in parameter_groups(cfg, model) if not group.weight_decay)
    assert without_decay.modules == ("neck.transformer_encoder.layers.0.norms.0",)
    assert (without_decay.tensors, without_decay.parameters) == (2, 128)


def test_the_description_names_each_part_of_the_recipe():
    cfg, model = load()
    text = describe(cfg, model)
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
    note = "one learning rate for all parts of TFPoseHead; the paper's: custom_keys={'transformer_': "
    assert note not in text
    cfg.optim_wrapper.paramwise_cfg = None  # as in a config that copied only the head
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


WRONG = {
    "'neck.encoder', which no": dict(optim_wrapper__paramwise_cfg__custom_keys={"neck.encoder": dict(lr_mult=0.1)}),
    "model.head.decoder is": dict(model__head__decoder__sigma=3),
    "train_dataloader's targets are made by": dict(train_dataloader__dataset__pipeline__6__encoder__sigma=3),
    "val_dataloader has input_size (192, 256), but the codec has (96, 128)": dict(
        val_dataloader__dataset__pipeline__2__input_size=(192, 256)
    ),
    "val_dataloader has input_size None": dict(val_dataloader__dataset__pipeline__2__input_size=None),
    "test_dataloader has TopdownAffine without use": dict(test_dataloader__dataset__pipeline__2__use_udp=False),
    "a mirrored label of TFPoseLabel is 1 - x": dict(model__test_cfg__shift_coords=True),
    "val_dataloader has persistent_workers=True, but num_workers=0: set persistent_workers=False": dict(
        val_dataloader__num_workers=0, val_dataloader__persistent_workers=True
    ),
    "train_dataloader's metainfo cannot be read (FileNotFoundError(": dict(
        train_dataloader__dataset__metainfo=dict(from_file="nowhere.py")
    ),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_disagrees_is_found(words):
    (problem,) = find_problems(*load(**WRONG[words]))
    assert words in problem


def test_what_does_not_matter_agrees():
    """A list in place of a tuple, a metric of MMEngine, no parameter groups."""
    cfg, model = load(optim_wrapper__paramwise_cfg=None)
    cfg.codec.input_size = list(cfg.codec.input_size)  # --cfg-options turns 96,128 into a list
    cfg.val_evaluator = cfg.test_evaluator = dict(type="CocoMetirc")
    assert find_problems(cfg, model) == []


NO_MODEL = nn.Identity()  # checks of data need no parameters
HEATMAP = "body_2d_keypoint/topdown_heatmap"


@pytest.mark.parametrize(
    "name",
    [
        f"{HEATMAP}/coco/td-hm_res50_8xb64-210e_coco-256x192",
        "face_2d_keypoint/topdown_regression/wflw/td-reg_res50_8xb64-210e_wflw-256x256",
        # data sets whose arguments choose the keypoints
        "fashion_2d_keypoint/topdown_heatmap/deepfashion/td-hm_res50_8xb64-210e_deepfashion_full-256x192",
        # a codec for each stage, three maps per keypoint, a choice among the keypoints, a head around another head
        f"{HEATMAP}/coco/td-hm_2xmspn50_8xb32-210e_coco-256x192",
        f"{HEATMAP}/coco/td-hm_hrnet-w32_udp-regress-8xb64-210e_coco-256x192",
        f"{HEATMAP}/coco/td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-combine",
        f"{HEATMAP}/coco/td-hm-vis_res50_8xb64-210e_coco-aic-256x192-merge",
    ],
)
def test_mmpose_s_own_configs_agree(name):
    assert find_problems(get_config(f"mmpose::{name}.py"), NO_MODEL) == []


def test_the_readme_s_config_over_one_of_mmpose_s_agrees(tmp_path):
    (block,) = re.findall("```python\n(_base_ = .*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    (tmp_path / "head.py").write_text(block, encoding="utf-8")
    assert find_problems(Config.fromfile(str(tmp_path / "head.py")), NO_MODEL) == []


@pytest.mark.parametrize("kind", [None, "RepeatDataset", "ConcatDataset"])
def test_configs_with_other_loaders_are_described_and_checked(kind, reliability):
    cfg = read_config(TINY)
    inner = cfg.train_dataloader.dataset
    if kind == "RepeatDataset":
        cfg.train_dataloader.dataset = dict(type=kind, times=2, dataset=inner)
    elif kind == "ConcatDataset":
        cfg.train_dataloader.dataset = dict(type=kind, datasets=[inner] * 2)
    else:  # no validation
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    recipe = show_recipe(cfg)
    assert (recipe.problems, recipe.exit_status) == ([], 0)
    assert recipe.text.count("rotate_factor=20.0") == 1  # of the inner pipeline
    cfg.model.head.num_joints = 14
    wrong = show_recipe(cfg)
    assert "The head predicts 14 keypoints, but train_dataloader has 17" in str(wrong)
    assert (len(wrong.problems), wrong.exit_status) == (2 if kind is None else 3, 1)
    fault = "a config without validation, with RepeatDataset or ConcatDataset"
    reliability.row("inputs", fault, 1, "recipe and check-data look into the data sets")


def test_several_test_data_sets_need_their_own_metrics(tmp_path, reliability):
    cfg = read_config(TINY)
    one = cfg.test_dataloader.dataset
    other = dict(one, metainfo=dict(from_file="configs/_base_/datasets/aic.py"))  # it is converted to COCO's keypoints
    metainfo = dict(from_file="configs/_base_/datasets/coco.py")
    cfg.test_dataloader.dataset = dict(type="CombinedDataset", metainfo=metainfo, datasets=[one, other])
    message = "test_dataloader has 2 data sets, but CocoMetric reads the annotations of one"
    assert any(message in problem for problem in show_recipe(cfg).problems)
    (tmp_path / "model.pth").write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        evaluate(cfg, tmp_path / "model.pth")
    cfg.test_evaluator = dict(type="MultiDatasetEvaluator", metrics=[dict(type="CocoMetric")] * 2, datasets=[one, one])
    assert show_recipe(cfg).problems == []
    fault = "several test data sets with one CocoMetric"
    reliability.row("inputs", fault, 1, "recipe and test refuse it in a sentence")

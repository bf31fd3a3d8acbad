from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel
from mmpose.registry import MODELS
from torch import nn

from tests.helpers.models import load_tiny as load
from tests.helpers.paths import ROOT, TINY
from tfpose_mm.config_files import read_config
from tfpose_mm.errors import UserError
from tfpose_mm.recipe import show_recipe
from tfpose_mm.recipe.config_checks import find_problems
from tfpose_mm.training import evaluate

COCO = "configs/_base_/datasets/coco.py"


def test_the_shipped_config_agrees():
    assert find_problems(*load()) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            dict(optim_wrapper__paramwise_cfg__custom_keys={"neck.encoder": dict(lr_mult=0.1)}),
            ["'neck.encoder', which no"],
        ),
        (dict(model__head__decoder__sigma=3), ["model.head.decoder is"]),
        (dict(train_dataloader__dataset__pipeline__6__encoder__sigma=3), ["train_dataloader's targets are made by"]),
        (
            dict(val_dataloader__dataset__pipeline__2__input_size=(192, 256)),
            ["val_dataloader has input_size (192, 256), but the codec has (96, 128)"],
        ),
        (
            dict(test_dataloader__dataset__pipeline__2__use_udp=False),
            ["test_dataloader has TopdownAffine without use"],
        ),
        (
            dict(model__test_cfg__keypoint_scores="hetmap"),
            ["keypoint_scores is 'hetmap': choose 'auto' or 'heatmap' or 'one'"],
        ),
        (dict(model__test_cfg__shift_coords=True), ["a mirrored label of TFPoseLabel is 1 - x"]),
        (
            dict(codec__heatmap_size=(20, 32), model__head__decoder__heatmap_size=(20, 32)),
            ["train_dataloader's targets", "predicts heat maps of (24, 32) (w, h), but the codec has (20, 32)"],
        ),
        (dict(model__test_cfg__flip_tset=True), ["test_cfg has 'flip_tset', which TFPoseHead does not read"]),
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
    cfg.codec.input_size = list(cfg.codec.input_size)  # --cfg-options turns 96,128 into a list
    assert find_problems(cfg, model) == []


def test_an_unknown_metric_is_left_to_mmengine():
    cfg, model = load()
    cfg.val_evaluator = cfg.test_evaluator = dict(type="CocoMetirc")
    assert find_problems(cfg, model) == []


def test_a_step_without_its_arguments_is_found():
    cfg, model = load()
    del cfg.val_dataloader.dataset.pipeline[2]["input_size"]
    (size,) = find_problems(cfg, model)
    assert "val_dataloader has input_size None" in size


def test_what_another_head_left_in_test_cfg_agrees():
    assert find_problems(*load(model__test_cfg__flip_mode="heatmap")) == []


def test_joints_that_do_not_fit_are_found():
    cfg = Config.fromfile(str(ROOT / "benchmarks/configs/tfpose_r18_lspet_128x96.py"))
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    assert find_problems(cfg, model) == []
    joints = cfg.train_dataloader.dataset.metainfo
    joints.keypoint_info[0].swap = ""
    joints.sigmas = joints.sigmas[:-1]
    cfg.val_dataloader.dataset.metainfo.keypoint_info[1].swap = "left_nee"
    one_way, sigmas, unknown = find_problems(cfg, model)
    assert "train_dataloader's metainfo swaps left_ankle with right_ankle, but not the reverse" in one_way
    assert "train_dataloader's metainfo has 13 sigmas for 14 keypoints" in sigmas
    assert "val_dataloader's metainfo cannot be read (KeyError('left_nee')): it needs" in unknown


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


def test_one_learning_rate_for_all_parts_is_a_choice():
    assert find_problems(*load(optim_wrapper__paramwise_cfg=None)) == []


def test_sigmas_are_needed_only_for_oks(tmp_path):
    cfg = Config.fromfile(str(ROOT / "benchmarks/configs/tfpose_r18_lspet_128x96.py"))
    cfg.model.backbone.init_cfg = None
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.metainfo.sigmas = []
    model = MODELS.build(cfg.model)
    assert len(find_problems(cfg, model)) == 3
    cfg.val_evaluator = cfg.test_evaluator = [dict(type="PCKAccuracy", thr=0.2)]
    assert find_problems(cfg, model) == []


WHOLEBODY = "wholebody_2d_keypoint/topdown_heatmap/coco-wholebody/td-hm_res50_8xb64-210e_coco-wholebody-256x192"
MMPOSE = {
    "CrowdPose": "body_2d_keypoint/topdown_heatmap/crowdpose/td-hm_res50_8xb64-210e_crowdpose-256x192",
    "AIC": "body_2d_keypoint/topdown_heatmap/aic/td-hm_res101_8xb64-210e_aic-256x192",
    "JHMDB": "body_2d_keypoint/topdown_heatmap/jhmdb/td-hm_res50_8xb64-20e_jhmdb-sub1-256x256",
    "HumanArt": "body_2d_keypoint/topdown_heatmap/humanart/td-hm_hrnet-w32_8xb64-210e_humanart-256x192",
    "AP-10K": "animal_2d_keypoint/topdown_heatmap/ap10k/td-hm_res50_8xb64-210e_ap10k-256x256",
    "AnimalPose": "animal_2d_keypoint/topdown_heatmap/animalpose/td-hm_res50_8xb64-210e_animalpose-256x256",
    "WFLW": "face_2d_keypoint/topdown_regression/wflw/td-reg_res50_8xb64-210e_wflw-256x256",
    "OneHand10K": "hand_2d_keypoint/topdown_regression/onehand10k/td-reg_res50_8xb64-210e_onehand10k-256x256",
    "COCO-WholeBody": WHOLEBODY,
}


class Empty(BaseModel):
    """A model without parameters, because these checks only use the data."""

    def __init__(self):
        super().__init__()
        self.head = nn.Identity()

    def forward(self, *args):
        raise NotImplementedError


@pytest.mark.parametrize("name", MMPOSE)
def test_mmpose_s_own_data_sets_pass(name):
    assert find_problems(get_config(f"mmpose::{MMPOSE[name]}.py"), Empty()) == []


OTHER_KINDS = {
    "a codec for each stage": "coco/td-hm_2xmspn50_8xb32-210e_coco-256x192",
    "three maps per keypoint": "coco/td-hm_hrnet-w32_udp-regress-8xb64-210e_coco-256x192",
    "a choice among the predicted keypoints": "coco/td-hm_hrnet-w32_8xb64-210e_coco-aic-256x192-combine",
    "a head around another head": "coco/td-hm-vis_res50_8xb64-210e_coco-aic-256x192-merge",
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_kinds_of_mmpose_s_configs_pass(kind):
    cfg = get_config(f"mmpose::body_2d_keypoint/topdown_heatmap/{OTHER_KINDS[kind]}.py")
    assert find_problems(cfg, Empty()) == []


def test_a_data_set_whose_arguments_choose_the_keypoints_passes():
    name = "fashion_2d_keypoint/topdown_heatmap/deepfashion/td-hm_res50_8xb64-210e_deepfashion_full-256x192"
    assert find_problems(get_config(f"mmpose::{name}.py"), Empty()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda metainfo: metainfo.pop("sigmas"), "(AssertionError()): it needs dataset_name, keypoint_info"),
        (lambda metainfo: metainfo.update(from_file="nowhere.py"), '"nowhere.py" does not exist.'),
    ],
)
def test_metainfo_that_mmpose_cannot_read_is_named(change, words):
    cfg = Config.fromfile(str(ROOT / "benchmarks/configs/tfpose_r18_lspet_128x96.py"))
    cfg.optim_wrapper.pop("paramwise_cfg", None)
    change(cfg.train_dataloader.dataset.metainfo)
    (problem,) = find_problems(cfg, Empty())
    assert problem.startswith("train_dataloader's metainfo")
    assert words in problem


def test_a_config_over_one_of_mmpose_s_agrees(tmp_path):
    """MMEngine adds a scope to the dicts of a base in another package; the check ignores it."""
    path = tmp_path / "head.py"
    path.write_text(
        "_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py'\n"
        "from tfpose_mm.config import change_codec\n"
        "codec = dict(type='TFPoseLabel', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)\n"
        "change_codec(_base_, **codec)\n"
        "model = dict(head=dict(_delete_=True, type='TFPoseHead', in_channels=2048, num_levels=1, num_joints=17, "
        "decoder=codec), test_cfg=dict(_delete_=True, flip_test=True, shift_coords=False))\n"
    )
    assert find_problems(Config.fromfile(str(path)), Empty()) == []


def without_validation(cfg):
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None


def repeated(cfg):
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=2, dataset=cfg.train_dataloader.dataset)


def concatenated(cfg):
    cfg.train_dataloader.dataset = dict(type="ConcatDataset", datasets=[cfg.train_dataloader.dataset] * 2)


@pytest.mark.parametrize("change", [without_validation, repeated, concatenated])
def test_configs_with_other_loaders_are_described_and_checked(change, reliability):
    cfg = read_config(TINY)
    change(cfg)
    recipe = show_recipe(cfg)
    assert recipe.problems == []
    assert "rotate_factor=20.0" in recipe.text  # of the inner pipeline
    cfg.model.head.num_joints = 14
    assert any(
        "The head predicts 14 keypoints, but train_dataloader has 17" in text for text in show_recipe(cfg).problems
    )
    fault = "a config without validation, with RepeatDataset or ConcatDataset"
    reliability.row("inputs", fault, 1, "recipe and check-data look into the data sets")


def test_workers_that_torch_refuses_are_a_problem():
    options = {"val_dataloader.num_workers": 0, "val_dataloader.persistent_workers": True}
    expected = "val_dataloader has persistent_workers=True, but num_workers=0: set persistent_workers=False."
    assert show_recipe(TINY, cfg_options=options).problems == [expected]


def test_a_loop_of_iterations_is_described():
    cfg = read_config(TINY)
    cfg.train_cfg = dict(by_epoch=False, max_iters=7, val_interval=3)
    assert "7 iterations, batch size 16 per process" in show_recipe(cfg).text


def test_several_test_data_sets_need_their_own_metrics(tmp_path, reliability):
    cfg = read_config(TINY)
    one = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type="CombinedDataset", metainfo=dict(from_file=COCO), datasets=[one, one])
    message = "test_dataloader has 2 data sets, but CocoMetric reads the annotations of one"
    assert any(message in problem for problem in show_recipe(cfg).problems)
    (tmp_path / "model.pth").write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        evaluate(cfg, tmp_path / "model.pth")
    cfg.test_evaluator = dict(type="MultiDatasetEvaluator", metrics=[dict(type="CocoMetric")] * 2, datasets=[one, one])
    assert not any(message in problem for problem in show_recipe(cfg).problems)
    reliability.row(
        "inputs", "several test data sets with one CocoMetric", 1, "recipe and test refuse it in a sentence"
    )

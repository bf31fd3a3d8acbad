from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel
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
        (dict(model__test_cfg__flip_tset=True), ["test_cfg has 'flip_tset', which TFPoseHead does not read"]),
        (dict(model__head__num_joints=14), ["predicts 14 keypoints, but train_dataloader has 17", "val", "test"]),
    ],
)
def test_what_disagrees_is_found(options, expected):
    problems = find_problems(*load(**options))
    assert len(problems) == len(expected)
    for problem, words in zip(problems, expected):
        assert words in problem


def test_what_does_not_matter_agrees():
    """A list in place of a tuple, a key of another head's test_cfg, a metric of MMEngine, no parameter groups."""
    cfg, model = load(model__test_cfg__flip_mode="heatmap", optim_wrapper__paramwise_cfg=None)
    cfg.codec.input_size = list(cfg.codec.input_size)  # --cfg-options turns 96,128 into a list
    cfg.val_evaluator = cfg.test_evaluator = dict(type="CocoMetirc")
    assert find_problems(cfg, model) == []


def test_a_step_without_its_arguments_is_found():
    cfg, model = load()
    del cfg.val_dataloader.dataset.pipeline[2]["input_size"]
    (size,) = find_problems(cfg, model)
    assert "val_dataloader has input_size None" in size


@pytest.fixture
def lspet():
    cfg = Config.fromfile(str(ROOT / "benchmarks/configs/tfpose_r18_lspet_128x96.py"))
    cfg.optim_wrapper.pop("paramwise_cfg", None)
    return cfg


def test_sigmas_are_needed_only_for_oks(lspet):
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        lspet[loader].dataset.metainfo.sigmas = [0.1] * 13
    problems = find_problems(lspet, Empty())
    assert len(problems) == 3
    assert "train_dataloader's metainfo has 13 sigmas for 14 keypoints" in problems[0]
    lspet.val_evaluator = lspet.test_evaluator = [dict(type="PCKAccuracy", thr=0.2)]
    assert find_problems(lspet, Empty()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda metainfo: metainfo.pop("sigmas"), "(AssertionError()): it needs dataset_name, keypoint_info"),
        (lambda metainfo: metainfo.update(from_file="nowhere.py"), '"nowhere.py" does not exist.'),
        (lambda metainfo: metainfo.keypoint_info[1].update(swap="left_nee"), "(KeyError('left_nee'))"),
    ],
)
def test_metainfo_that_mmpose_cannot_read_is_named(change, words, lspet):
    change(lspet.train_dataloader.dataset.metainfo)
    (problem,) = find_problems(lspet, Empty())
    assert problem.startswith("train_dataloader's metainfo cannot be read")
    assert words in problem


class Empty(BaseModel):
    """A model without parameters, because these checks only use the data."""

    def __init__(self):
        super().__init__()
        self.head = nn.Identity()

    def forward(self, *args):
        raise NotImplementedError


HEATMAP = "body_2d_keypoint/topdown_heatmap"


@pytest.mark.parametrize(
    "name",
    [
        f"{HEATMAP}/coco/td-hm_res50_8xb64-210e_coco-256x192",
        f"{HEATMAP}/jhmdb/td-hm_res50_8xb64-20e_jhmdb-sub1-256x256",
        "animal_2d_keypoint/topdown_heatmap/ap10k/td-hm_res50_8xb64-210e_ap10k-256x256",
        "face_2d_keypoint/topdown_regression/wflw/td-reg_res50_8xb64-210e_wflw-256x256",
        "wholebody_2d_keypoint/topdown_heatmap/coco-wholebody/td-hm_res50_8xb64-210e_coco-wholebody-256x192",
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
    assert find_problems(get_config(f"mmpose::{name}.py"), Empty()) == []


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
    assert recipe.text.count("rotate_factor=20.0") == 1  # of the inner pipeline
    cfg.model.head.num_joints = 14
    assert "The head predicts 14 keypoints, but train_dataloader has 17" in "".join(show_recipe(cfg).problems)
    fault = "a config without validation, with RepeatDataset or ConcatDataset"
    reliability.row("inputs", fault, 1, "recipe and check-data look into the data sets")


def test_workers_that_torch_refuses_are_a_problem():
    options = {"val_dataloader.num_workers": 0, "val_dataloader.persistent_workers": True}
    expected = "val_dataloader has persistent_workers=True, but num_workers=0: set persistent_workers=False."
    assert show_recipe(TINY, cfg_options=options).problems == [expected]


def test_several_test_data_sets_need_their_own_metrics(tmp_path, reliability):
    cfg = read_config(TINY)
    one = cfg.test_dataloader.dataset
    other = dict(one, metainfo=dict(from_file="configs/_base_/datasets/aic.py"))  # it is converted to COCO's keypoints
    cfg.test_dataloader.dataset = dict(type="CombinedDataset", metainfo=dict(from_file=COCO), datasets=[one, other])
    message = "test_dataloader has 2 data sets, but CocoMetric reads the annotations of one"
    assert any(message in problem for problem in show_recipe(cfg).problems)
    (tmp_path / "model.pth").write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        evaluate(cfg, tmp_path / "model.pth")
    cfg.test_evaluator = dict(type="MultiDatasetEvaluator", metrics=[dict(type="CocoMetric")] * 2, datasets=[one, one])
    assert show_recipe(cfg).problems == []
    reliability.row(
        "inputs", "several test data sets with one CocoMetric", 1, "recipe and test refuse it in a sentence"
    )

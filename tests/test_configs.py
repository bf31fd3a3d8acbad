from __future__ import annotations

import copy
import re
import time
from functools import cache
from operator import attrgetter

import mmengine
import mmpose.registry
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from mmpose.registry import MODELS

from tests.helpers.checks import check_gradients
from tests.helpers.models import labelled, randomise, samples
from tests.helpers.paths import MAIN, ROOT
from tfpose_mm.recipe import find_problems, parameter_groups

FOLDERS = (ROOT / "configs", ROOT / "benchmarks/configs")
CONFIGS = sorted(path for folder in FOLDERS for path in folder.rglob("*.py") if "_base_" not in path.parts)
TFPOSE = [path for path in CONFIGS if path.stem.startswith("tfpose_")]
TRAINED = [path for path in TFPOSE if "_testdev" not in path.stem]
SWAPPED_NECKS = [path for path in CONFIGS if path.stem.startswith("deformable-neck_")]
PLANS, RESULTS = ROOT / "benchmarks/plans", ROOT / "benchmarks/results"
PEERS = [path for path in CONFIGS if path not in (*TFPOSE, *SWAPPED_NECKS)]

# the models that are built and trained for a step in `make test`; the others are in `make test-all`
TYPICAL = {
    "tfpose_r50_coco_256x192",
    "tfpose_two-stage_r50_coco_256x192",
    "tfpose_two-stage_cspnext-m_coco_256x192",
    "tfpose_tiny_synthetic_128x96",
    "tfpose_small_lspet_128x96",
    "tfpose_two-stage_small_lspet_128x96",
    "simplebaseline_small_lspet_128x96",
    "rtmpose_small_lspet_128x96",
}


def each(paths, fast=None):
    """Run a test for each config; if ``fast`` is given, ``make test`` runs it for these only."""
    marks = [[] if fast is None or path.stem in fast else pytest.mark.slow for path in paths]
    return pytest.mark.parametrize("path", [pytest.param(path, id=path.stem, marks=m) for path, m in zip(paths, marks)])


@cache
def read(path):
    if "vit" in path.stem or "lite0" in path.stem:
        pytest.importorskip("mmpretrain.models", reason="the backbone is mmpretrain's, which is not installed")
    return Config.fromfile(str(path))


def load(path):
    cfg = copy.deepcopy(read(path))
    cfg.model.backbone.init_cfg = None  # no download
    return cfg


@each(TFPOSE)
def test_what_mmpose_tools_read_is_there_and_agrees(path):
    cfg = load(path)
    assert cfg.default_scope == "mmpose"
    assert cfg.custom_imports["imports"][:2] == ["tfpose_mm", "tfpose_mm.safe_loading"]
    assert cfg.data_mode == "topdown"
    height, width = map(int, re.search(r"_(\d+)x(\d+)(_testdev)?$", path.stem).groups()[:2])
    assert tuple(cfg.codec.input_size) == (width, height)
    assert tuple(cfg.codec.heatmap_size) == (width // 4, height // 4)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type == cfg.dataset_type
        assert loader.dataset.data_root == cfg.data_root
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert cfg.val_dataloader.dataset.pipeline == cfg.test_dataloader.dataset.pipeline == cfg.val_pipeline
    assert cfg.model.test_cfg.shift_coords is False


@each(TRAINED, fast=TYPICAL)
def test_recipe_and_one_step(path):
    """Codec, pipelines, head and data agree; the transformer has a tenth of the learning rate, or the same."""
    cfg = load(path)
    model = MODELS.build(cfg.model)
    small_scale = "_small_" in path.stem
    assert find_problems(cfg, model) == []
    groups = parameter_groups(cfg, model)
    rates = [4e-3, 1e-3] if "lite0" in path.stem else [4e-3] if small_scale else [4e-3, 4e-4]
    assert [group.lr for group in groups] == pytest.approx(rates)
    assert {group.weight_decay for group in groups} == {1e-4}
    transformer = ("neck.transformer_encoder", "head.transformer_decoder")
    if "lite0" in path.stem:
        assert groups[1].modules == ("backbone",)
    elif not small_scale:
        has_encoder = cfg.model.get("neck", {}).get("num_layers")
        assert set(groups[1].modules) == set(transformer if has_encoder else transformer[1:])
        assert ("head.start" in groups[0].modules) == ("two-stage" in path.stem)  # at the full learning rate
    offsets = [name for name, _ in model.named_parameters() if "sampling_offsets" in name]
    assert offsets
    assert all(name.startswith(transformer) for name in offsets)
    assert tuple(cfg.optim_wrapper.optimizer.betas) == (0.9, 0.999)
    assert cfg.optim_wrapper.optimizer.type == "AdamW"
    # images of 96x64 are smaller than the windows of Swin
    width, height = cfg.codec.input_size if "swin" in path.stem else (64, 96)
    randomise(model)  # a layer that is zero would hide the layers before it
    batch = samples(2, cfg.model.head.num_joints, heatmap_size=(width // 4, height // 4))
    assert check_gradients(model, model.loss(torch.randn(2, 3, height, width), batch)) == []


def test_the_main_config_is_the_paper_s():
    cfg = load(MAIN)
    model = cfg.model
    assert (model.backbone.depth, model.backbone.out_indices) == (50, (1, 2, 3))
    assert Config.fromfile(str(MAIN)).model.backbone.init_cfg.checkpoint == "torchvision://resnet50"
    assert (model.neck.num_layers, model.head.num_layers) == (6, 6)
    for part in (model.neck, model.head):
        assert (part.num_heads, part.num_points, part.feedforward_channels) == (8, 4, 1024)
    assert model.head.loss.aux_weight == 50
    steps = {step["type"]: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps["RandomBBoxTransform"]["rotate_factor"] == 40
    assert tuple(steps["RandomBBoxTransform"]["scale_factor"]) == (0.5, 1.5)
    assert {"RandomFlip", "RandomHalfBody"} <= set(steps)
    assert cfg.val_dataloader.dataset.bbox_file.endswith("COCO_val2017_detections_AP_H_56_person.json")
    assert cfg.model.test_cfg.flip_test
    assert cfg.val_evaluator.type == "CocoMetric"
    assert cfg.auto_scale_lr.base_batch_size == 512
    assert [scheduler["type"] for scheduler in cfg.param_scheduler] == ["LinearLR", "CosineAnnealingLR"]


LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
OURS = {"TFPoseLabel", "DeformableTransformerNeck", "TFPoseHead", "TFPoseLoss"}


@pytest.mark.parametrize("runtime", ["", '_base_ = "mmpose::_base_/default_runtime.py"\n'])
def test_without_the_protection_the_main_config_has_mmpose_s_types_and_ours_only(runtime, tmp_path):
    line = '_base_ = "_base_/protection.py"\n'
    text = MAIN.read_text(encoding="utf-8")
    assert text.count(line) == 1
    (tmp_path / "config.py").write_text(text.replace(line, runtime), encoding="utf-8")
    cfg = Config.fromfile(str(tmp_path / "config.py"))
    for name in set(re.findall("'type': '(.+?)'", repr(cfg.to_dict()))) - OURS - {"AdamW"}:
        found = [registry.get(name) for registry in vars(mmpose.registry).values() if isinstance(registry, Registry)]
        assert {kind.__module__.split(".")[0] for kind in found if kind} <= {"mmpose", "mmengine", "mmcv"}, name
        assert any(found), name
    assert not {"worker_init_fn", "collate_fn"} & {key for loader in LOADERS for key in cfg[loader]}
    for key in ("model", "train_pipeline", "val_pipeline", "optim_wrapper", "param_scheduler", "train_cfg"):
        assert cfg[key] == read(MAIN)[key]
    cfg.model.backbone.init_cfg = None
    cfg.update(work_dir=str(tmp_path), launcher="none", experiment_name=f"configs_{time.time_ns()}")
    assert {type(hook).__module__.split(".")[0] for hook in Runner.from_cfg(cfg).hooks} <= {"mmpose", "mmengine"}


def test_its_dataloaders_fit_into_mmpose_s_own_config(people, tmp_path):
    """Copy codec, pipelines and dataloaders into MMPose's SimpleBaseline, with the head."""
    text = MAIN.read_text(encoding="utf-8")
    data = text[text.index("# dataset settings") : text.index("# hooks")]
    (codec,) = re.findall(r"^codec = .*$", text, re.M)
    base = "mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py"
    text = f'_base_ = "{base}"\ncustom_imports = dict(imports=["tfpose_mm"])\n{codec}\n{data}'
    (tmp_path / "config.py").write_text(text, encoding="utf-8")
    cfg = Config.fromfile(str(tmp_path / "config.py"))
    cfg.merge_from_dict({
        "model.backbone": dict(_delete_=True, type="ResNet", depth=18, out_indices=(1, 2, 3)),
        "model.head": dict(
            _delete_=True, type="TFPoseHead", in_channels=[128, 256, 512], num_joints=17, decoder=cfg.codec
        ),
        "model.test_cfg": dict(_delete_=True, flip_test=True, shift_coords=False),
        "train_dataloader.dataset.data_root": str(people),
        "train_dataloader.dataset.ann_file": "annotations/person_keypoints_train.json",
        "train_dataloader.dataset.data_prefix.img": "train/",
        "train_dataloader.batch_size": 3,
        "train_dataloader.num_workers": 1,
        "train_cfg": dict(_delete_=True, type="IterBasedTrainLoop", max_iters=1),
        "param_scheduler": None,
        "work_dir": str(tmp_path / "work"),
    })  # fmt: skip
    for part in ("val", "test"):
        cfg[f"{part}_dataloader"] = cfg[f"{part}_evaluator"] = cfg[f"{part}_cfg"] = None
    cfg.update(launcher="none", experiment_name=f"configs_{time.time_ns()}")
    training = Runner.from_cfg(cfg)
    assert find_problems(cfg, training.model) == []
    branches = training.model.head.reg_branches
    before = copy.deepcopy(branches.state_dict())
    training.train()
    assert any(not value.equal(before[name]) for name, value in branches.state_dict().items())
    assert all(value.isfinite().all() for value in training.model.parameters())


@pytest.mark.parametrize("name", ["r50_coco_384x288_testdev", "r50_mpii_256x256", "r18_lspet_256x192"])
def test_one_variable_moves_the_data(monkeypatch, name):
    monkeypatch.setenv(f"{name.split('_')[1].upper()}_ROOT", "/elsewhere/")
    cfg = Config.fromfile(str(ROOT / f"configs/tfpose_{name}.py"))
    assert cfg.data_root == "/elsewhere/"
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == "/elsewhere/"
        for file in ("bbox_file", "headbox_file"):
            assert (loader.dataset.get(file) or "/elsewhere/").startswith("/elsewhere/")


@pytest.mark.parametrize("name", ["coco_256x192", "coco_384x288", "ne4_coco_256x192"])
def test_testdev_differs_only_in_what_it_tests_on(name):
    plain, testdev = (load(ROOT / f"configs/tfpose_r50_{name}{suffix}.py") for suffix in ("", "_testdev"))
    data = testdev.test_dataloader.dataset
    assert data.ann_file == "annotations/image_info_test-dev2017.json"
    assert data.data_prefix == dict(img="test2017/")
    boxes = "person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json"
    assert data.bbox_file == f"{data.data_root}/{boxes}"
    assert testdev.test_evaluator.type == "CocoSubmission"
    assert testdev.test_evaluator.folder == f"work_dirs/tfpose_r50_{name}_testdev"
    for key in set(plain) - {"test_dataloader", "test_evaluator"}:
        assert plain[key] == testdev[key], key


def what_training_and_test_see(cfg):
    """Backbone, data, augmentation and schedule, without what depends on the codec and what only sets the speed."""
    seen = {key: cfg[key] for key in ("train_cfg", "param_scheduler", "auto_scale_lr")}
    seen["backbone"] = {key: value for key, value in cfg.model.backbone.items() if key != "out_indices"}
    seen["preprocessor"], seen["batch_size"] = cfg.model.data_preprocessor, cfg.train_dataloader.batch_size
    for split in ("train", "val", "test"):
        seen[split] = cfg[f"{split}_dataloader"].dataset
    return _plain(Config(seen).to_dict())


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key not in ("_scope_", "encoder", "use_udp")}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@each(PEERS, fast=TYPICAL)
def test_a_peer_differs_from_tfpose_in_its_head_alone_and_takes_one_step(path):
    cfg = load(path)
    model = MODELS.build(cfg.model)
    (same_data,) = (other for other in TFPOSE if other.stem.partition("_")[2] == path.stem.partition("_")[2])
    assert what_training_and_test_see(cfg) == what_training_and_test_see(load(same_data))
    assert not find_problems(cfg, model)
    pipelines = [cfg[f"{split}_dataloader"].dataset.pipeline for split in ("train", "val", "test")]
    udp = {step.get("use_udp", False) for steps in pipelines for step in steps if step.type == "TopdownAffine"}
    assert udp == {cfg.codec.type == "UDPHeatmap"}  # the affine transform on which the peer's codec is exact
    check_step_and_prediction(cfg, model)


def check_step_and_prediction(cfg, model):
    width, height = cfg.codec.input_size
    batch = labelled(cfg.codec, cfg.model.head, batch=2)
    batch[0].gt_instance_labels.keypoint_weights[:, 2] = 0  # a keypoint without labels
    images = torch.randn(2, 3, height, width)
    check_gradients(model, model.loss(images, batch))
    with torch.no_grad():
        (predicted,) = model.eval().predict(images[:1], batch[:1])
    num_joints = cfg.model.head.get("num_joints") or cfg.model.head.out_channels
    assert predicted.pred_instances.keypoints.shape == (1, num_joints, 2)


@pytest.mark.slow
@each(SWAPPED_NECKS)
def test_a_swapped_neck_keeps_tfpose_s_recipe(path):
    cfg, main = load(path), load(MAIN)
    neck = cfg.model.neck.necks[0] if cfg.model.neck.type == "SequentialNeck" else cfg.model.neck
    assert neck == main.model.neck
    assert cfg.optim_wrapper == main.optim_wrapper
    assert what_training_and_test_see(cfg) == what_training_and_test_see(main)
    neck.num_layers = 1  # the other layers are equal
    model = MODELS.build(cfg.model)
    assert not find_problems(cfg, model)
    ((tenth,),) = (group.modules for group in parameter_groups(cfg, model) if group.lr == pytest.approx(4e-4))
    assert tenth.endswith("transformer_encoder")
    check_step_and_prediction(cfg, model)


def test_the_configs_as_they_stand_are_what_was_measured():
    """The plan has no options, and what the measured runs had as options now stands in their configs."""
    plan, epochs = "lspet", 20
    content = mmengine.load(str(PLANS / f"{plan}.yaml"))
    assert set(content) == {"metric", "runs"}
    assert {key for run in content["runs"] for key in run} == {"name", "config", "seeds"}
    results = mmengine.load(str(RESULTS / f"{plan}.json"))
    runs = [(run["name"], run["config"], seed) for run in content["runs"] for seed in run["seeds"]]
    assert [(result["name"], result["config"], result["seed"]) for result in results] == runs
    for result in results:
        cfg = load(ROOT / result["config"])
        for key, value in result["options"].items():
            assert attrgetter(key)(cfg) == value, key
        assert max(map(int, result["results"][content["metric"]])) == epochs
        assert cfg.train_cfg.max_epochs == epochs
        assert cfg.optim_wrapper.optimizer.lr == 4e-3

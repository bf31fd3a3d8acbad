from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmpose.registry import MODELS

from tests.conftest import samples

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)
FRONT_DOOR = ROOT / "configs/tfpose_r50_coco_256x192.py"
IDS = [path.stem for path in CONFIGS]


def load(path):
    cfg = Config.fromfile(str(path))
    cfg.model.backbone.init_cfg = None  # no download
    return cfg


@pytest.mark.parametrize("path", CONFIGS, ids=IDS)
def test_what_mmpose_tools_read_is_there_and_agrees(path):
    cfg = load(path)
    assert cfg.default_scope == "mmpose"
    assert cfg.custom_imports["imports"] == ["tfpose_mm"]
    assert cfg.data_mode == "topdown"
    assert cfg.model.head.decoder == cfg.codec
    height, width = map(int, path.stem.rpartition("_")[2].split("x"))
    assert tuple(cfg.codec.input_size) == (width, height)
    assert tuple(cfg.codec.heatmap_size) == (width // 4, height // 4)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.type == cfg.dataset_type
        steps = {step["type"]: step for step in loader.dataset.pipeline}
        assert tuple(steps["TopdownAffine"]["input_size"]) == (width, height)
        assert steps["TopdownAffine"]["use_udp"]
        if loader is cfg.train_dataloader:
            assert steps["GenerateTarget"]["encoder"] == cfg.codec
    assert cfg.model.test_cfg.shift_coords is False


@pytest.mark.parametrize("path", CONFIGS, ids=IDS)
def test_recipe(path):
    """Every pattern matches, and the transformer learns at a tenth of the rate."""
    cfg = load(path)
    model = MODELS.build(cfg.model)
    names = [name for name, _ in model.named_parameters()]
    for pattern in cfg.optim_wrapper.paramwise_cfg.custom_keys:
        assert any(pattern in name for name in names), pattern
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    rates = {id(group["params"][0]): group["lr"] for group in groups}
    transformer = (
        "neck.encoder",
        "neck.level_embed",
        "head.transformer_decoder",
        "head.query_embedding",
        "head.reference_points",
    )
    for name, parameter in model.named_parameters():
        expected = 4e-4 if name.startswith(transformer) else 4e-3
        assert rates[id(parameter)] == pytest.approx(expected), name
    assert {group["weight_decay"] for group in groups} == {1e-4}
    assert {tuple(group["betas"]) for group in groups} == {(0.9, 0.999)}


@pytest.mark.parametrize("path", CONFIGS, ids=IDS)
def test_one_step_gives_every_parameter_a_gradient(path):
    cfg = load(path)
    model = MODELS.build(cfg.model)
    width, height = cfg.codec.input_size
    batch = samples(2, 17, heatmap_size=cfg.codec.heatmap_size)
    for branch in model.head.reg_branches:  # their zeros hide what lies before them from one step's gradient
        torch.nn.init.normal_(branch.layers[-1].weight, std=0.1)
    sum(model.loss(torch.randn(2, 3, height, width), batch).values()).backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_front_door_is_the_paper_s():
    cfg = load(FRONT_DOOR)
    model = cfg.model
    assert (model.backbone.depth, model.backbone.out_indices) == (50, (1, 2, 3))
    assert Config.fromfile(str(FRONT_DOOR)).model.backbone.init_cfg.checkpoint == "torchvision://resnet50"
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


@pytest.mark.parametrize(("path", "variable"), [(FRONT_DOOR, "COCO_ROOT"), (CONFIGS[-1], "SYNTHETIC_ROOT")])
def test_one_variable_moves_the_data(monkeypatch, path, variable):
    monkeypatch.setenv(variable, "/elsewhere/")
    cfg = load(path)
    assert cfg.data_root == "/elsewhere/"
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == "/elsewhere/"
        assert (loader.dataset.get("bbox_file") or "/elsewhere/").startswith("/elsewhere/")

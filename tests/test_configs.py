from __future__ import annotations

import ast
import re

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmpose.registry import MODELS

from tests.helpers.models import labelled, randomise, samples
from tests.helpers.paths import MAIN, ROOT
from tfpose_mm.analysis import find_problems, parameter_groups

CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)
TFPOSE = [path for path in CONFIGS if path.stem.startswith("tfpose_")]
TRAINED = [path for path in TFPOSE if "_testdev" not in path.stem]
SWAPPED_NECKS = [path for path in CONFIGS if path.stem.startswith("deformable-neck_")]
PEERS = [path for path in CONFIGS if path not in (*TFPOSE, *SWAPPED_NECKS)]


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def load(path):
    if "vit" in path.stem:
        pytest.importorskip("mmpretrain.models", reason="MMPose takes ViT from mmpretrain, which is not installed")
    cfg = Config.fromfile(str(path))
    cfg.model.backbone.init_cfg = None  # no download
    return cfg


def values(path):
    """Lines of a config that say a value: without its bases, imports, comments, and what only joins its bases."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    taken = set()
    for node in tree.body:
        names = [target.id for target in getattr(node, "targets", []) if isinstance(target, ast.Name)]
        if isinstance(node, ast.ImportFrom) or "_base_" in names:
            taken |= set(range(node.lineno, node.end_lineno + 1))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        code = line.partition("#")[0].strip()
        if number not in taken and code:
            yield code


@each(CONFIGS)
def test_the_difference_from_the_bases_is_short(path):
    assert len(list(values(path))) <= 8


def test_no_value_stands_in_two_files():
    """A peer's file is its own recipe as MMPose has it, which may agree with another peer's; so may two data sets'
    folders, and the crop size that a file's name says.
    """
    seen = {}
    for path in (path for path in (ROOT / "configs").rglob("*.py") if path.parts[-3:-1] != ("_base_", "peers")):
        for line in set(values(path)):
            joins_or_names = "_base_." in line or line.startswith(("data_prefix=", "change_codec(_base_, input_size"))
            if re.search(r"[\d\"]", line) and not joins_or_names:
                seen.setdefault(line, []).append(path.name)
    assert len(seen) > 100
    assert not {line: names for line, names in seen.items() if len(names) > 1}


@each(TFPOSE)
def test_what_mmpose_tools_read_is_there_and_agrees(path):
    cfg = load(path)
    assert cfg.default_scope == "mmpose"
    assert cfg.custom_imports["imports"][0] == "tfpose_mm"
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


@each(TFPOSE)
def test_recipe(path):
    """Codec, pipelines, head and data agree; the transformer learns at a tenth of the rate."""
    cfg = load(path)
    model = MODELS.build(cfg.model)
    assert not find_problems(cfg, model)
    groups = parameter_groups(cfg, model)
    assert [group.lr for group in groups] == pytest.approx([4e-3, 4e-4])
    assert [group.weight_decay for group in groups] == [1e-4, 1e-4]
    transformer = ("neck.transformer_encoder", "head.transformer_decoder")
    has_encoder = cfg.model.get("neck", {}).get("num_layers")
    assert set(groups[1].modules) == set(transformer if has_encoder else transformer[1:])
    offsets = [name for name, _ in model.named_parameters() if "sampling_offsets" in name]
    assert offsets
    assert all(name.startswith(transformer) for name in offsets)
    assert tuple(cfg.optim_wrapper.optimizer.betas) == (0.9, 0.999)
    assert cfg.optim_wrapper.optimizer.type == "AdamW"


@each(TRAINED)
def test_one_step_gives_every_parameter_a_gradient(path):
    cfg = load(path)
    model = randomise(MODELS.build(cfg.model))  # what starts at zero would hide what lies before it
    width, height = cfg.codec.input_size
    batch = samples(2, cfg.model.head.num_joints, heatmap_size=cfg.codec.heatmap_size)
    sum(model.loss(torch.randn(2, 3, height, width), batch).values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_front_door_is_the_paper_s():
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


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("tfpose_r50_coco_256x192", "COCO_ROOT"),
        ("tfpose_r50_coco_384x288_testdev", "COCO_ROOT"),
        ("tfpose_r50_mpii_256x256", "MPII_ROOT"),
        ("tfpose_tiny_synthetic_128x96", "SYNTHETIC_ROOT"),
        ("tfpose_r18_lspet_256x192", "LSPET_ROOT"),
    ],
)
def test_one_variable_moves_the_data(monkeypatch, name, variable):
    monkeypatch.setenv(variable, "/elsewhere/")
    cfg = load(ROOT / f"configs/{name}.py")
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
    assert (
        data.bbox_file == f"{data.data_root}/person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json"
    )
    assert testdev.test_evaluator.type == "CocoSubmission"
    assert testdev.test_evaluator.folder == f"work_dirs/tfpose_r50_{name}_testdev"
    for key in set(plain) - {"test_dataloader", "test_evaluator"}:
        assert plain[key] == testdev[key], key


def test_mpii_is_evaluated_as_in_table_7():
    cfg = load(ROOT / "configs/tfpose_r50_mpii_256x256.py")
    assert cfg.model.head.num_joints == 16
    assert cfg.val_evaluator == dict(type="MpiiPCKAccuracy")  # PCKh@0.5 by default
    assert cfg.val_dataloader.dataset.headbox_file.endswith("mpii_gt_val.mat")
    assert cfg.default_hooks.checkpoint.save_best == "PCK"


def without_what_a_head_needs(cfg):
    """A config as plain dict without head, codec and the peer's own optimiser."""
    content = cfg.to_dict()
    for key in ("codec", "optim_wrapper"):
        content.pop(key)
    for key in ("neck", "head", "test_cfg"):
        content["model"].pop(key, None)
    pipelines = [content["train_pipeline"], content["val_pipeline"]]
    pipelines += [content[f"{split}_dataloader"]["dataset"]["pipeline"] for split in ("train", "val", "test")]
    for step in (step for pipeline in pipelines for step in pipeline):
        step.pop("encoder", None)
        step.pop("use_udp", None)
    return content


def test_there_are_peers_on_both_scales():
    names = {"deeppose", "rle", "dsnt", "simcc", "simplebaseline", "rtmpose"}
    for folder in ("peers", "benchmark"):
        assert {path.stem.split("_")[0] for path in PEERS if path.parent.name == folder} == names


@each(PEERS)
def test_a_peer_differs_from_tfpose_in_its_head_alone(path):
    cfg = load(path)
    (tfpose,) = (other for other in TFPOSE if other.stem.partition("_")[2] == path.stem.partition("_")[2])
    assert without_what_a_head_needs(cfg) == without_what_a_head_needs(load(tfpose))
    assert "peer" not in cfg
    model = MODELS.build(cfg.model)
    assert not find_problems(cfg, model)
    udp = {step.use_udp for step in (*cfg.train_pipeline, *cfg.val_pipeline) if step.type == "TopdownAffine"}
    assert udp == {cfg.codec.type == "UDPHeatmap"}  # the crops that the peer's codec is exact on
    if path.parent.name == "peers":
        head = load_mmpose_head(cfg.model.head.type)
        assert {key: cfg.model.head[key] for key in head if key != "decoder"} == {
            key: value for key, value in head.items() if key != "decoder"
        }


@each(SWAPPED_NECKS)
def test_a_swapped_neck_keeps_tfpose_s_recipe(path):
    cfg, tfpose = load(path), load(MAIN)
    model = MODELS.build(cfg.model)
    assert not find_problems(cfg, model)
    neck = cfg.model.neck.necks[0] if cfg.model.neck.type == "SequentialNeck" else cfg.model.neck
    assert neck == tfpose.model.neck
    assert cfg.optim_wrapper == tfpose.optim_wrapper
    (tenth,) = (group.modules for group in parameter_groups(cfg, model) if group.lr == pytest.approx(4e-4))
    assert len(tenth) == 1
    assert tenth[0].endswith("transformer_encoder")
    assert without_what_a_head_needs(cfg) == without_what_a_head_needs(tfpose)


def load_mmpose_head(kind):
    """The head of MMPose's own ResNet-50 config on COCO; RTMPose's is of its own backbone, but for its width."""
    name = {
        "RegressionHead": "topdown_regression/coco/td-reg_res50_8xb64-210e_coco-256x192",
        "RLEHead": "topdown_regression/coco/td-reg_res50_rle-8xb64-210e_coco-256x192",
        "DSNTHead": "integral_regression/coco/ipr_res50_8xb64-210e_coco-256x256",
        "SimCCHead": "simcc/coco/simcc_res50_8xb64-210e_coco-256x192",
        "HeatmapHead": "topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192",
        "RTMCCHead": "rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192",
    }[kind]
    head = get_config(f"mmpose::body_2d_keypoint/{name}.py").model.head
    if kind == "DSNTHead":  # MMPose ships it at 256x256 only
        head.in_featuremap_size = (6, 8)
    if kind == "RTMCCHead":
        head.in_channels = 2048
    return head


@each([*PEERS, *SWAPPED_NECKS])
def test_a_peer_takes_one_step_and_predicts(path):
    cfg = load(path)
    model = MODELS.build(cfg.model)
    width, height = cfg.codec.input_size
    batch = labelled(cfg.codec, cfg.model.head)
    batch[0].gt_instance_labels.keypoint_weights[:, 2] = 0  # a keypoint that nobody labelled
    images = torch.randn(3, 3, height, width)
    losses = [value for key, value in model.loss(images, batch).items() if "loss" in key]
    sum(losses).backward()
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert [name for name, parameter in trained if parameter.grad is None] == []
    assert [name for name, parameter in trained if not parameter.grad.isfinite().all()] == []
    with torch.no_grad():
        predicted = model.eval().predict(images, batch)
    assert predicted[2].pred_instances.keypoints.shape == (1, 14 if "lspet" in path.stem else 17, 2)

"""Poseur, which is built on the parts of the package."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS

from projects.poseur.poseur import PoseurHead, PoseurLoss, PoseurStart
from tests.helpers.checks import check_flip_test, check_gradients
from tests.helpers.models import build, feature_maps, images, randomise, samples, tiny_model_cfg
from tests.helpers.paths import ROOT
from tfpose_mm.inference import Predictor
from tfpose_mm.recipe import find_problems, parameter_groups

pytestmark = pytest.mark.slow
CONFIGS = sorted((ROOT / "projects/poseur/configs").glob("*.py"))


def model_cfg(num_joints=5, test_cfg=None, **head):
    cfg = tiny_model_cfg(num_joints, test_cfg=test_cfg, **head)
    cfg["head"]["type"] = "PoseurHead"
    del cfg["head"]["aux_branch"], cfg["head"]["deconv_out_channels"]
    return cfg


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_trains_with_its_recipe(path):
    cfg = Config.fromfile(str(path))
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    assert isinstance(model.head, PoseurHead)
    assert find_problems(cfg, model) == []
    if "r50" in path.stem:
        assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[1].milestones) == (325, [255, 310])
        groups = parameter_groups(cfg, model)
        assert [group.lr for group in groups] == pytest.approx([1e-3, 1e-4])
        assert all("sampling_offsets" in name for name in groups[1].modules)
    losses = randomise(model).loss(torch.randn(2, 3, 96, 64), samples(2, cfg.model.head.num_joints))
    layers = {f"loss_kpt_layer{layer}" for layer in range(1, len(model.head.reg_branches))} | {"loss_kpt"}
    noise = {name.replace("loss_", "loss_noise_") for name in layers}
    assert set(losses) == {"loss_kpt_layer0", "acc_pose"} | layers | noise
    assert check_gradients(model, losses) == []


def test_the_loss_is_mmpose_s_rle_averaged_over_joints_and_axes():
    loss = PoseurLoss()
    outputs, labels, weights = torch.rand(2, 3, 5, 4), torch.rand(3, 5, 2), torch.ones(3, 5)
    losses = loss(outputs, labels, weights)
    assert list(losses) == ["loss_kpt_layer1", "loss_kpt"]
    for output, value in zip(outputs, losses.values()):
        expected = loss.rle(output[..., :2], output[..., 2:], labels, weights[..., None]) / 10
        torch.testing.assert_close(value, expected)


def test_noise_groups_are_further_losses():
    plain, noisy = (randomise(build(model_cfg(noise_groups=groups, dropout=0.0))).eval() for groups in (0, 2))
    noisy.load_state_dict(plain.state_dict())
    expected, losses = (model.loss(images(), samples()) for model in (plain, noisy))
    assert set(losses) - set(expected) == {"loss_noise_kpt_layer1", "loss_noise_kpt"}
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value)
    noisy.head.noise_std = 0.0  # groups without noise are the same as the queries
    torch.testing.assert_close(noisy.loss(images(), samples())["loss_noise_kpt"], expected["loss_kpt"])


def test_noise_moves_a_fraction_of_the_keypoints():
    model = randomise(build(model_cfg(num_joints=133, noise_groups=3, noise_fraction=0.25)))
    starts = []
    model.head.transformer_decoder.register_forward_pre_hook(lambda module, inputs: starts.append(inputs[3]))
    model.loss(images(), samples(num_joints=133))
    before, after = starts
    assert ((after >= 0) & (after <= 1)).all()
    moved = (before.repeat_interleave(3, dim=0) != after).any(-1).float()
    assert moved.mean() == pytest.approx(0.25, abs=0.05)


def test_the_loss_of_the_last_layer_trains_the_steps_of_all_layers_before_it():
    head = randomise(build(model_cfg())).head.eval()
    for layer in head.transformer_decoder.layers:  # without this, layers are also linked by their queries
        layer.register_forward_hook(lambda module, inputs, output: output.detach())
    head.forward(feature_maps((32, 32, 32), ((16, 12), (8, 6), (4, 3)))).sum().backward()
    assert all(branch.layers[-1].bias.grad.any() for branch in head.reg_branches)
    assert head.start.coordinates.weight.grad is None  # y_0 is trained by its own loss


@pytest.mark.parametrize("num_joints", [1, 14])
def test_the_flip_test_is_equivariant(num_joints):
    cfg = model_cfg(num_joints, test_cfg=dict(flip_test=True, keypoint_scores="sigma"))
    scores = check_flip_test(randomise(build(cfg)).eval(), num_joints)
    assert 0 < scores.min() < scores.max() < 1


def test_y0_is_regressed_from_the_coarsest_level():
    start = randomise(PoseurStart(8, 5, 2))
    memory = torch.randn(3, 20 + 6, 8)
    proposal = start(memory, ((5, 4), (2, 3)))
    memory[:, :20] = 7.0
    torch.testing.assert_close(start(memory, ((5, 4), (2, 3))).prediction, proposal.prediction)
    assert proposal.prediction.shape == (3, 5, 4)
    assert not proposal.coordinates.requires_grad


def test_bfloat16_autocast_trains():
    model = randomise(build(model_cfg(dropout=0.0)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model.loss(images(), samples())
    check_gradients(model, losses)


def test_tools_of_the_package_predict_with_it(people, tmp_path):
    cfg = Config.fromfile(str(ROOT / "projects/poseur/configs/poseur_small_lspet_128x96.py"))
    torch.save(dict(state_dict=randomise(MODELS.build(cfg.model)).state_dict()), tmp_path / "moved.pth")
    predictor = Predictor(cfg, tmp_path / "moved.pth")
    (prediction,) = predictor(people / "val/000000000001.jpg")
    assert predictor.keypoint_scores == "sigma"
    assert prediction.keypoints.shape == (1, 14, 2)

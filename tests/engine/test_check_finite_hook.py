"""Run diverging trainings with MMEngine's runner."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import EMAHook, Hook

from tfpose_mm.engine.hooks import CheckFiniteHook
from tfpose_mm.errors import UserError

DIVERGES = {"optim_wrapper.optimizer.lr": 1e30, "param_scheduler": []}  # after one step the weights are about 1e30


class Poison(Hook):
    """Set one tensor of the model to NaN after an iteration."""

    priority = "VERY_HIGH"

    def __init__(self, name, iteration):
        self.name, self.iteration = name, iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            runner.model.state_dict()[self.name].fill_(float("nan"))


class Mislabel(Hook):
    """Set a labelled coordinate to NaN in the first batch of the second epoch."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1 and batch_idx == 0:
            labels = data_batch["data_samples"][2].gt_instance_labels
            labels.keypoint_labels[0, 5, 1] = float("nan")
            labels.keypoint_weights[0, 5] = 1


class PoisonAverage(Hook):
    """Set EMAHook's weights to NaN before they are validated."""

    priority = "VERY_HIGH"

    def before_val(self, runner):
        (ema,) = (hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook))
        ema.module.backbone.conv1.weight.data.fill_(float("nan"))


@pytest.fixture
def make(make_runner, tmp_path):
    """A runner of one epoch of 2 iterations in ``tmp_path / "work"``, with a validation."""

    def with_options(epochs=1, hooks=(), **options):
        options = {key.replace("__", "."): value for key, value in options.items()}
        return make_runner(epochs, hooks=hooks, **{"train_cfg.val_interval": 1, **options})

    return with_options


def checkpoints(folder):
    return sorted(path.name for path in folder.glob("work/*.pth"))


@pytest.mark.slow
def test_without_the_hook_a_diverged_model_is_the_best(make, tmp_path):
    """The loss of the first iteration is finite, and the weights after it are huge."""
    runner = make(custom_hooks=[], **DIVERGES)
    runner.train()
    assert runner.message_hub.get_info("best_score") == pytest.approx(1.0)
    assert "best_coco_AP_epoch_1.pth" in checkpoints(tmp_path)


def test_a_nan_loss_stops_the_training_before_anything_is_saved(make, tmp_path, people):
    message = r"The loss must be finite, but loss\S* is nan in iteration 2 of epoch 1: start .* lower .* batch has"
    with pytest.raises(UserError, match=message) as error:
        make(**DIVERGES).train()
    assert str(error.value).count(f"({people}/train/") == 4  # 9 instances in batches of 5
    assert checkpoints(tmp_path) == []


def test_instances_with_nan_labels_are_named(make, tmp_path, people):
    runner = make(2, [Mislabel()])
    with pytest.raises(UserError, match="the labels of these instances are not finite") as error:
        runner.train()
    assert "in iteration 3 of epoch 2" in str(error.value)
    assert str(error.value).count(f"({people}/train/") == 1
    assert checkpoints(tmp_path) == ["best_coco_AP_epoch_1.pth", "epoch_1.pth"]


def test_nan_weights_stop_the_training_before_anything_is_saved(make, tmp_path):
    with pytest.raises(UserError, match=r"The weights must be finite, but \S+ has NaN or .* a lower learning rate"):
        make(hooks=[Poison("backbone.conv1.weight", 2)]).train()
    assert checkpoints(tmp_path) == []


def test_nan_keypoints_of_finite_weights_stop_the_validation(make, tmp_path):
    """After one step the weights are huge but finite."""
    runner = make(train_dataloader__batch_size=9, **DIVERGES)
    with pytest.raises(UserError, match=r"must predict finite coordinates, but those of .*/val/\d+.jpg are NaN"):
        runner.train()
    assert all(tensor.isfinite().all() for tensor in runner.model.state_dict().values())
    assert checkpoints(tmp_path) == ["epoch_1.pth"]


def test_nan_keypoints_stop_a_test(make):
    runner = make()
    runner.model.head.reg_branches[-1].layers[-1].bias.data.fill_(float("nan"))
    with pytest.raises(UserError, match="must predict finite coordinates"):
        runner.test()


@pytest.mark.parametrize("by_epoch", [True, False])
def test_the_last_finite_checkpoint_is_kept(make, tmp_path, by_epoch):
    """CheckpointHook deletes the old checkpoint before it saves the new one."""
    runner = make(
        2,
        train_cfg__val_interval=3,
        default_hooks__checkpoint__by_epoch=by_epoch,
        default_hooks__checkpoint__interval=1,
        default_hooks__checkpoint__max_keep_ckpts=1,
        default_hooks__checkpoint__save_best=None,
        default_hooks__checkpoint__rule=None,
    )
    runner.register_hook(Poison("backbone.bn1.running_mean", iteration=4))
    with pytest.raises(UserError, match=r"but backbone\.bn1\.running_mean has NaN"):
        runner.train()
    (name,) = checkpoints(tmp_path)
    assert name == ("epoch_1.pth" if by_epoch else "iter_3.pth")
    state = torch.load(tmp_path / "work" / name, map_location="cpu")["state_dict"]
    assert all(tensor.isfinite().all() for tensor in state.values())


@pytest.mark.slow
def test_averaged_weights_are_checked_where_they_are_validated(make, tmp_path):
    """EMAHook loads its weights before a validation; these weights are validated and saved."""
    runner = make(hooks=[dict(type="EMAHook", momentum=0.5), PoisonAverage()])
    with pytest.raises(UserError, match=r"The weights must be finite, but backbone\.conv1\.weight has NaN"):
        runner.train()
    assert not [name for name in checkpoints(tmp_path) if name.startswith("best")]


@pytest.mark.slow
def test_a_finite_training_is_untouched(make, tmp_path):
    runner = make()
    assert any(isinstance(hook, CheckFiniteHook) for hook in runner.hooks)
    runner.train()
    assert {"epoch_1.pth", "best_coco_AP_epoch_1.pth"} <= set(checkpoints(tmp_path))

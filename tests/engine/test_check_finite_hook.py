"""Run diverging trainings with MMEngine's runner."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook

from tfpose_mm.errors import UserError

DIVERGES = {"optim_wrapper.optimizer.lr": 1e30, "param_scheduler": []}  # after one step the weights are about 1e30


class Poison(Hook):
    """Set one buffer of the model to NaN after the fourth iteration."""

    priority = "VERY_HIGH"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == 4:
            runner.model.backbone.bn1.running_mean.fill_(float("nan"))


def checkpoints(folder):
    return sorted(path.name for path in folder.glob("work/*.pth"))


def test_a_nan_loss_stops_the_training_before_anything_is_saved(make_runner, tmp_path, people):
    message = r"The loss must be finite, but loss\S* is nan in iteration 2 of epoch 1: start .* lower .* batch has"
    with pytest.raises(UserError, match=message) as error:
        make_runner(1, **DIVERGES).train()
    assert str(error.value).count(f"({people}/train/") == 4  # 9 instances in batches of 5
    assert checkpoints(tmp_path) == []


def test_nan_keypoints_of_finite_weights_stop_the_validation(make_runner, tmp_path):
    """After one step the weights are huge but finite."""
    runner = make_runner(1, **{"train_cfg.val_interval": 1, "train_dataloader.batch_size": 9}, **DIVERGES)
    with pytest.raises(UserError, match=r"must predict finite coordinates, but those of .*/val/\d+.jpg are NaN"):
        runner.train()
    assert all(tensor.isfinite().all() for tensor in runner.model.state_dict().values())
    assert checkpoints(tmp_path) == ["epoch_1.pth"]
    with pytest.raises(UserError, match="must predict finite coordinates"):
        runner.test()


@pytest.mark.parametrize("by_epoch", [True, False])
def test_the_last_finite_checkpoint_is_kept(make_runner, tmp_path, by_epoch):
    """CheckpointHook deletes the old checkpoint before it saves the new one."""
    options = dict(by_epoch=by_epoch, max_keep_ckpts=1, save_best=None, rule=None)
    changes = {f"default_hooks.checkpoint.{key}": value for key, value in options.items()}
    runner = make_runner(2, hooks=[Poison()], **changes)
    with pytest.raises(UserError, match=r"weights must be finite, but backbone\.bn1\.running_mean has NaN"):
        runner.train()
    (name,) = checkpoints(tmp_path)
    assert name == ("epoch_1.pth" if by_epoch else "iter_3.pth")
    state = torch.load(tmp_path / "work" / name, map_location="cpu")["state_dict"]
    assert all(tensor.isfinite().all() for tensor in state.values())

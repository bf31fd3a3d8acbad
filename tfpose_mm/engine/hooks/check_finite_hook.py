"""Stop a diverged training before its model is validated or saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample

from ...datasets.finite_samples import find_not_finite
from ...errors import UserError

LABELS = ("gt_instances", "gt_instance_labels", "gt_fields")
FIX = "start a new training with a lower learning rate, and with load_from an earlier checkpoint"


@HOOKS.register_module()
class CheckFiniteHook(Hook):
    """Check that losses, weights and predicted keypoints are finite.

    COCO's evaluation gives NaN predictions an AP of 1, so a diverged model would be saved as the best. This hook checks
    the losses in each iteration, which MMEngine copies from the GPU in each iteration anyway. It checks parameters and
    buffers after each training epoch, before each validation and before each checkpoint, and the keypoints of each
    validated or tested batch. No checkpoint is saved after a check has failed.
    """

    # after EMAHook and SyncBuffersHook (NORMAL), which set the weights that are validated; before CheckpointHook
    # (VERY_LOW), which deletes an old checkpoint before it saves the new one
    priority = "LOW"

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Check the losses.

        Raises:
            UserError: If a loss is not finite; the message names the instances of the batch. If the labels of some are
                not finite, it names these only.
        """
        for name, value in (outputs or {}).items():
            if "loss" in name and not torch.as_tensor(value).isfinite().all():
                raise UserError(_describe(runner, name, value, (data_batch or {}).get("data_samples", ())))

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the weights."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        _check_weights(model.state_dict())

    before_val_epoch = after_train_epoch

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights in a checkpoint before any hook saves it."""
        _check_weights(checkpoint["state_dict"])

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Check the keypoints of a validated or tested batch: finite weights can still give NaN."""
        for sample in outputs or ():
            if not torch.isfinite(torch.as_tensor(sample.pred_instances.keypoints)).all():
                raise UserError(
                    f"The model must predict finite coordinates, but those of {sample.get('img_path', 'an image')} are "
                    f"NaN or infinite: the training has diverged; {FIX}."
                )

    after_test_iter = after_val_iter


def _describe(runner: Runner, name: str, value: object, samples: Sequence[PoseDataSample]) -> str:
    wrong = [sample for sample in samples if find_not_finite(sample, LABELS)]
    names = ", ".join(f"{sample.get('id')} ({sample.get('img_path')})" for sample in wrong or samples)
    labels = f"the labels of these instances are not finite: {names}; correct or delete them"
    return (
        f"The loss must be finite, but {name} is {torch.as_tensor(value).item()} in iteration {runner.iter + 1} of "
        f"epoch {runner.epoch + 1}: "
        f"{labels if wrong else f'{FIX}; the batch has the instances {names}'}."
    )


def _check_weights(state: Mapping[str, object]) -> None:
    for name, tensor in state.items():
        if isinstance(tensor, torch.Tensor) and not torch.isfinite(tensor).all():
            raise UserError(f"The weights must be finite, but {name} has NaN or infinite values: {FIX}.")

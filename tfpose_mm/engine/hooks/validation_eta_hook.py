"""Include the validations in the time left that is logged in training."""

from __future__ import annotations

import time

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.registry import HOOKS


@HOOKS.register_module()
class ValidationEtaHook(Hook):
    """Add the time of the remaining validations to MMEngine's ``eta``, which counts training iterations only.

    The time of a validation is that of the last one, with its metrics. Before the first one it is estimated: a batch of
    the validation is assumed to take as long as a training iteration.
    """

    priority = 55  # after IterTimerHook (NORMAL), which computes eta; before LoggerHook (BELOW_NORMAL), which logs it

    def __init__(self) -> None:
        self.start = 0.0
        self.seconds: float | None = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Start the clock."""
        self.start = time.monotonic()

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Stop the clock."""
        self.seconds = time.monotonic() - self.start

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Add the validations that are left in a training by epochs."""
        loop = runner.train_loop
        interval = getattr(loop, "val_interval", None)
        if runner.val_loop is None or not interval or not hasattr(loop, "max_epochs"):
            return
        seconds = self.seconds
        if seconds is None:
            seconds = len(runner.val_loop.dataloader) * runner.message_hub.get_scalar("train/time").mean()
        last = loop.max_epochs
        epochs = range(max(runner.epoch + 1, loop.val_begin), last + 1)
        left = sum(epoch % interval == 0 or epoch == last for epoch in epochs)
        runner.message_hub.update_info("eta", runner.message_hub.get_info("eta") + left * seconds)

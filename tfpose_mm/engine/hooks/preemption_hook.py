"""Save a checkpoint when a training is asked to stop."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Sequence

import torch
from mmengine.dist import all_reduce, barrier
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample

from .epoch_seed_hook import RANDOM_STATE, save_random_state

PREEMPTED = "preempted.pth"
STATUS = 128 + signal.SIGTERM  # exit status of a process that SIGTERM ended


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, finish the iteration, save ``preempted.pth`` in the work directory and exit with status 143.

    Clusters send SIGTERM some seconds before they kill a job. ``--resume`` continues with the next iteration; with
    :class:`EpochSeedHook` the result is that of a training that was not interrupted. During a validation the
    checkpoint is saved after the current batch, and the resumed training does not repeat the validation.

    The signal must reach the training process: ``mim train`` does not pass it on, ``torchrun`` does.
    """

    priority = "LOWEST"  # after the hooks that change the state of the training

    def __init__(self) -> None:
        self._is_asked = False
        self._previous = None

    def before_train(self, runner: Runner) -> None:
        """Replace the handler of SIGTERM."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._ask)

    def after_train(self, runner: Runner) -> None:
        """Restore the handler of SIGTERM."""
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._is_asked = True

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Save and exit, at the first iteration after the signal that updates the weights."""
        if self._all_asked(runner) and runner.optim_wrapper.should_update():
            self._stop(runner, runner.iter + 1)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Save and exit, during a training's validation in one process.

        Several processes can have different numbers of batches, so they cannot agree here; they stop after the next
        iteration of the training.
        """
        if self._previous is not None and runner.world_size == 1 and self._is_asked:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # the model has the averaged weights during a validation
            self._stop(runner, runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add torch's random state to a checkpoint that is saved within an epoch."""
        if self._is_asked:
            checkpoint[RANDOM_STATE] = save_random_state()

    def _all_asked(self, runner: Runner) -> bool:
        """Whether any process of the training got the signal."""
        if runner.world_size > 1:
            asked = torch.tensor(int(self._is_asked), device=next(runner.model.parameters()).device)
            all_reduce(asked, "max")
            self._is_asked = bool(asked)
        return self._is_asked

    def _stop(self, runner: Runner, iteration: int) -> None:
        backends = (hook.backend_args for hook in runner.hooks if isinstance(hook, CheckpointHook))
        runner.save_checkpoint(
            runner.work_dir,
            PREEMPTED,
            meta=dict(epoch=runner.epoch, iter=iteration),
            backend_args=next(backends, None),
        )
        barrier()
        runner.logger.warning(
            f"SIGTERM: {PREEMPTED} is saved in {runner.work_dir} after iteration {iteration}; --resume continues there."
        )
        sys.exit(STATUS)

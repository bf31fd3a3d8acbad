"""Save a checkpoint when a training is asked to stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import IterBasedTrainLoop, Runner, find_latest_checkpoint
from mmpose.registry import HOOKS
from mmpose.structures import PoseDataSample

from .epoch_seed_hook import RANDOM_STATE, is_resumed, save_random_state

PREEMPTED = "preempted.pth"
SET_ASIDE = "preempted_old.pth"  # of an earlier training in the same work directory; nothing resumes from it
VALIDATE = "validate"  # key in a checkpoint: whether the resumed training begins with a validation
STATUS = 128 + signal.SIGTERM  # exit status of a process that SIGTERM ended
SAME_SIGNAL = 5.0  # seconds; torchrun repeats a signal that a cluster sends to all processes


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, finish the iteration, save ``preempted.pth`` in the work directory and exit with status 143.

    Clusters send SIGTERM some seconds before they kill a job. ``--resume`` continues with the next iteration, if the
    config has :class:`ResumeHook`; with :class:`EpochSeedHook` the result is that of a training that was not
    interrupted. If gradients are accumulated, the training stops after the next update of the weights.

    In a validation of one process the checkpoint is saved after the current batch, and the resumed training repeats
    the validation before it continues. The validation is finished first if accumulated gradients are pending, or if
    there are several processes, which can have different numbers of batches; then the training stops after the next
    update of the weights, or at its end.

    The file is removed when a later checkpoint of ``CheckpointHook`` is complete. A training that does not continue
    from it renames it to ``preempted_old.pth``, with a warning; :class:`ResumeHook` ignores that file.

    A second SIGTERM, :data:`SAME_SIGNAL` seconds or more after the first, has its usual effect: it ends the process at
    once. So has the first one if the training has already failed with an exception.

    The signal must reach the training process: ``mim train`` does not pass it on, ``torchrun`` does.
    """

    priority = "LOWEST"  # after the hooks that change the state of the training

    def __init__(self) -> None:
        self._is_asked = False
        self._asked_at: float | None = None
        self._is_installed = False
        self._previous: Any = None  # what signal.signal returned
        self._run_code: Any = None  # of the loop's method run, which is on the stack during a training
        self._outdated: Path | None = None  # the preempted.pth that this training continues
        self._additions: dict[str, Any] = {}  # to preempted.pth
        self._is_validation_due = False
        self._meta: dict[str, Any] = {}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember whether the checkpoint was saved in a validation."""
        self._is_validation_due, self._meta = bool(checkpoint.get(VALIDATE)), checkpoint.get("meta") or {}

    def before_train(self, runner: Runner) -> None:
        """Replace the handler of SIGTERM; set an old ``preempted.pth`` aside; repeat an interrupted validation."""
        self._is_asked, self._asked_at = False, None
        if threading.current_thread() is threading.main_thread():
            self._install(runner)
        barrier()  # no process reads the old file any more
        if is_main_process():
            self._set_aside(runner)
        if self._is_validation_due and is_resumed(runner, self._meta) and runner.val_loop is not None:
            self._is_validation_due = False
            runner.logger.info("The validation that SIGTERM interrupted is repeated.")
            runner.val_loop.run()

    def after_train(self, runner: Runner) -> None:
        """Restore the handler of SIGTERM."""
        self._restore()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Save and exit, at the first iteration after the signal that updates the weights."""
        self._remove_outdated(runner)
        if self._all_asked(runner) and _is_updated(runner.optim_wrapper):
            iteration = runner.iter + 1
            self._additions = {RANDOM_STATE: save_random_state(runner, batch_idx)}
            self._stop(runner, iteration, _is_validated_after(runner, iteration))

    def after_train_epoch(self, runner: Runner) -> None:
        """Remove ``preempted.pth`` if there is a later checkpoint now."""
        self._remove_outdated(runner)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Save and exit, during a training's validation in one process, if no accumulated gradients are pending.

        Several processes can have different numbers of batches, so they cannot agree here.
        """
        if self._is_installed and runner.world_size == 1 and self._is_asked and _is_updated(runner.optim_wrapper):
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # the model has the averaged weights during a validation
            self._stop(runner, runner.iter, is_validated=True)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add to ``preempted.pth`` what the resumed training needs."""
        checkpoint.update(self._additions)

    def _install(self, runner: Runner) -> None:
        owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if isinstance(owner, PreemptionHook):
            owner._restore()  # its training ended with an exception
        self._run_code = getattr(type(runner.train_loop).run, "__code__", None)
        self._previous = signal.signal(signal.SIGTERM, self._ask)
        self._is_installed = True

    def _restore(self) -> None:
        if self._is_installed:
            # None: the handler before was not installed from Python, so it cannot be restored
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self._previous is None else self._previous)
            self._is_installed = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked_at is not None and time.monotonic() - self._asked_at < SAME_SIGNAL:
            return
        if self._asked_at is None and self._is_training(frame):
            self._is_asked, self._asked_at = True, time.monotonic()
            return
        self._restore()
        signal.raise_signal(number)

    def _is_training(self, frame: FrameType | None) -> bool:
        """Whether the loop runs; MMEngine calls no hook when it ends with an exception."""
        while frame is not None and frame.f_code is not self._run_code:
            frame = frame.f_back
        return frame is not None or self._run_code is None

    def _set_aside(self, runner: Runner) -> None:
        """Rename a ``preempted.pth`` that this training does not continue, so that it never resumes from it."""
        path = Path(runner.work_dir) / PREEMPTED
        self._outdated = None
        if not path.is_file():
            return
        named = runner.cfg.get("load_from") or find_latest_checkpoint(runner.work_dir)
        if runner.iter and named and Path(named).absolute() == path.absolute():
            self._outdated = path
            return
        path.replace(path.with_name(SET_ASIDE))
        runner.logger.warning(
            f"{path} is of an earlier training that this one does not continue: it is renamed to {SET_ASIDE}; to "
            f"continue it, use resume with load_from={path.with_name(SET_ASIDE)} and another work directory."
        )

    def _remove_outdated(self, runner: Runner) -> None:
        hooks = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
        if self._outdated is not None and any(hook.last_ckpt and hook.save_optimizer for hook in hooks):
            self._outdated.unlink(missing_ok=True)
            self._outdated = None

    def _all_asked(self, runner: Runner) -> bool:
        """Whether any process of the training got the signal."""
        if runner.world_size > 1:
            asked = torch.tensor(int(self._is_asked), device=next(runner.model.parameters()).device)
            all_reduce(asked, "max")
            self._is_asked = bool(asked)
        return self._is_asked

    def _stop(self, runner: Runner, iteration: int, is_validated: bool) -> None:
        """Save and exit.

        MMEngine's work directory is always local, so the file is too, also if CheckpointHook has a remote backend.
        """
        self._additions[VALIDATE] = is_validated
        meta = dict(epoch=runner.epoch, iter=iteration)
        runner.save_checkpoint(runner.work_dir, PREEMPTED, meta=meta, backend_args=dict(backend="atomic"))
        barrier()
        runner.logger.warning(
            f"SIGTERM: {PREEMPTED} is saved in {runner.work_dir} after iteration {iteration}; --resume continues there."
        )
        sys.exit(STATUS)


def _is_updated(optim_wrapper: object) -> bool:
    """Whether no accumulated gradients are pending; also true if the wrapper does not tell."""
    if isinstance(optim_wrapper, OptimWrapperDict):  # its own should_update fails
        return all(map(_is_updated, optim_wrapper.values()))
    return not hasattr(optim_wrapper, "should_update") or optim_wrapper.should_update()


def _is_validated_after(runner: Runner, iteration: int) -> bool:
    """Whether a loop of iterations validates after this one; a loop of epochs does so after resuming."""
    loop = runner.train_loop
    if not isinstance(loop, IterBasedTrainLoop) or runner.val_loop is None or iteration < loop.val_begin:
        return False
    return iteration % loop.val_interval == 0 or iteration == loop.max_iters

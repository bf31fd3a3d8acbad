"""Save a checkpoint when a training is asked to stop."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.registry import HOOKS

from ..atomic_files import write_atomic
from .resume_hook import POINTER, PREEMPTED

STATUS = 128 + signal.SIGTERM  # exit status of a process that SIGTERM ended


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, finish the iteration, save ``preempted.pth`` in the work directory and exit with status 143.

    Clusters send SIGTERM some seconds before they kill a job. ``--resume`` continues from the file. A training by
    epochs begins the epoch again, with the weights that it has reached; its learning-rate schedule does not go back. A
    training by iterations continues with the next iteration. A validation is finished first, and one iteration after
    it.

    The signal must reach the training process: ``mim train`` does not pass it on, ``torchrun`` does. Later signals are
    ignored, because ``torchrun`` repeats the one that a cluster sends to all processes.
    """

    priority = "LOWEST"  # after the hooks that change the state of the training

    def __init__(self) -> None:
        self._is_asked = False
        self._previous: Any = None  # what signal.signal returned

    def before_train(self, runner: Runner) -> None:
        """Replace the handler of SIGTERM, which Python allows in the main thread only."""
        self._is_asked = False
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._ask)

    def after_train(self, runner: Runner) -> None:
        """Restore the handler of SIGTERM."""
        if signal.getsignal(signal.SIGTERM) == self._ask:
            signal.signal(signal.SIGTERM, self._previous or signal.SIG_DFL)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Save and exit if any process of the training got the signal."""
        if runner.world_size > 1:
            asked = torch.tensor(int(self._is_asked), device=next(runner.model.parameters()).device)
            all_reduce(asked, "max")
            self._is_asked = bool(asked)
        if not self._is_asked:
            return
        # MMEngine trains the whole epoch again: with the later iteration it would count more than max_iters
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        meta = dict(epoch=runner.epoch, iter=runner.iter - batch_idx if by_epoch else runner.iter + 1)
        runner.save_checkpoint(runner.work_dir, PREEMPTED, meta=meta, backend_args=dict(backend="atomic"))
        if is_main_process():
            write_atomic(Path(runner.work_dir) / POINTER, str(Path(runner.work_dir) / PREEMPTED).encode())
        barrier()
        runner.logger.warning(
            f"SIGTERM: {PREEMPTED} is saved in {runner.work_dir} after iteration {runner.iter + 1}; --resume continues "
            f"from {f'the begin of epoch {runner.epoch + 1}, with these weights' if by_epoch else 'there'}."
        )
        sys.exit(STATUS)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._is_asked = True

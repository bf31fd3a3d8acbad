"""Make a training that resumes at an epoch equal to one that was not interrupted."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed
from mmpose.registry import HOOKS


@FUNCTIONS.register_module()
def init_worker(worker_id: int) -> None:
    """Seed NumPy and Python in a data loader's worker, and end it when the main process is gone.

    torch gives each worker another seed in each epoch, drawn in the main process, but seeds only its own generator.
    MMEngine's default gives NumPy the same seed in each epoch, so with ``persistent_workers=False`` the augmentations
    of all epochs draw the same numbers. A cluster can send SIGTERM to all processes of a job: workers obey only that of
    the main process, which can then finish its iteration, see :class:`PreemptionHook`. On macOS and Windows it seeds
    only, because Python has no ``signal.sigtimedwait`` there. Use it in the data loaders of a config::

        train_dataloader = dict(persistent_workers=False, worker_init_fn=dict(type="init_worker"))

    Args:
        worker_id: Number of the worker; torch's seed already depends on it.
    """
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
    if hasattr(signal, "sigtimedwait"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        parent = multiprocessing.parent_process()
        main = os.getppid() if parent is None else parent.pid
        threading.Thread(target=_wait_for_the_main_process, args=(main,), daemon=True).start()


def _wait_for_the_main_process(main: int) -> None:
    """End this worker when the main process sends SIGTERM, as multiprocessing does at its end, or when it is gone."""
    while os.getppid() == main:
        received = signal.sigtimedwait({signal.SIGTERM}, 2)
        if received is not None and received.si_pid == main:
            break
    os._exit(0)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed all random generators before each epoch, from the seed of the training, the epoch and the rank.

    MMEngine saves no random state, so a resumed training draws other numbers than one that was not interrupted. With
    this hook both have the same random numbers in each epoch, if the workers start anew in each epoch, see
    :func:`init_worker`. It does nothing in a loop of iterations (``by_epoch=False``).
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Seed the sampler; warn about workers that keep their random state from epoch to epoch."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        loader = runner.train_dataloader
        is_shared = not (runner.cfg.get("randomness") or {}).get("diff_rank_seed")
        if is_shared and getattr(loader.sampler, "seed", None) is not None:
            loader.sampler.seed = runner.seed  # a resumed training without a seed takes that of the checkpoint
        if loader.num_workers and loader.persistent_workers:
            runner.logger.warning(
                "train_dataloader has persistent_workers=True: after resuming, the augmentations differ from those of "
                "an uninterrupted training; set persistent_workers=False and worker_init_fn=dict(type='init_worker')."
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the generators."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            words = [runner.seed, runner.epoch, get_rank()]
            set_random_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

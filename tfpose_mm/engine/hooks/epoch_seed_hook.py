"""Make a resumed training equal to one that was not interrupted."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed
from mmpose.registry import HOOKS
from torch.utils.data import DataLoader

RANDOM_STATE = "random_state"  # key in a checkpoint that was saved within an epoch


@FUNCTIONS.register_module()
def init_worker(worker_id: int) -> None:
    """Seed NumPy and Python in a data loader's worker; ignore SIGTERM that does not come from the main process.

    torch gives each worker another seed in each epoch, drawn in the main process, but seeds only its own generator.
    MMEngine's default gives NumPy the same seed in each epoch, so with ``persistent_workers=False`` the augmentations
    of all epochs draw the same numbers. SIGTERM can be sent to all processes of a job; then the main process must be
    able to finish its iteration, see :class:`PreemptionHook`. On macOS and Windows it seeds only, because Python has no
    ``signal.sigtimedwait`` there. Use it in the data loaders of a config::

        train_dataloader = dict(persistent_workers=False, worker_init_fn=dict(type="init_worker"))

    Args:
        worker_id: Number of the worker; torch's seed already depends on it.
    """
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
    if hasattr(signal, "pthread_sigmask") and hasattr(signal, "sigtimedwait"):
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
    this hook both have the same random numbers in each epoch. Workers must start anew in each epoch, see
    :func:`init_worker`. If :class:`PreemptionHook` saved a checkpoint within an epoch, the batches that were trained
    are loaded again, but not trained again. If the epoch has another number of batches than before, as with another
    batch size, the epoch starts over, with a warning.

    Other hooks can replace the data loader in ``before_train_epoch``, as MMPose's ``YOLOXPoseModeSwitchHook`` does.

    It does nothing in a loop of iterations (``by_epoch=False``).
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._random_state: Mapping[str, Any] | None = None
        self._meta: Mapping[str, Any] = {}
        self._loader_hook = _LoaderHook(self)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the random state of a checkpoint that was saved within an epoch."""
        self._random_state, self._meta = checkpoint.get(RANDOM_STATE), checkpoint.get("meta") or {}

    def before_train(self, runner: Runner) -> None:
        """Warn about workers that keep their random state from epoch to epoch."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        if self._loader_hook not in runner.hooks:
            runner.register_hook(self._loader_hook)
        loader = runner.train_dataloader
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

    def after_train_epoch(self, runner: Runner) -> None:
        """Use the whole data loader again."""
        loader = runner.train_loop.dataloader
        if isinstance(loader, _Remaining):
            runner.train_loop.dataloader = loader.whole

    def prepare_loader(self, runner: Runner) -> None:
        """Seed the sampler; continue an epoch that was begun.

        Args:
            runner: Its data loader is replaced by the batches that are left, if the training resumes within an epoch.
        """
        loader = runner.train_dataloader
        is_shared = not (runner.cfg.get("randomness") or {}).get("diff_rank_seed")
        if is_shared and getattr(loader.sampler, "seed", None) is not None:
            loader.sampler.seed = runner.seed  # a resumed training without a seed takes that of the checkpoint
        state, self._random_state = self._random_state, None
        if state is None or not is_resumed(runner, self._meta):
            return
        length = len(loader)
        # checkpoints of earlier versions have neither done nor length
        done = state.get("done", runner.iter - runner.epoch * length)
        if state.get("length", length) != length:
            runner.logger.warning(
                f"The epoch had {state['length']} iterations when the checkpoint was saved, but has {length} now: it "
                f"starts over, so the {done} iterations that were done are not skipped."
            )
        elif 0 < done <= length:  # the checkpoint is PreemptionHook's
            runner.logger.info(f"{done} of the {length} iterations of this epoch are done: they are skipped.")
            runner.train_loop.dataloader = _Remaining(loader, done, state)


class _LoaderHook(Hook):
    """Calls :class:`EpochSeedHook` again after the other hooks, which can replace the data loader."""

    priority = "LOWEST"

    def __init__(self, owner: EpochSeedHook) -> None:
        self._owner = owner

    def before_train_epoch(self, runner: Runner) -> None:
        self._owner.prepare_loader(runner)


def is_resumed(runner: Runner, meta: Mapping[str, Any]) -> bool:
    """Whether the training is where a checkpoint was saved, not at the start of a new one (``load_from``).

    Args:
        runner: Of the training.
        meta: Of the checkpoint, with ``epoch`` and ``iter``.

    Returns:
        Whether both have the same numbers of epochs and iterations.
    """
    return (runner.epoch, runner.iter) == (meta.get("epoch"), meta.get("iter"))


class _Remaining:
    """The batches of an epoch after the first ones."""

    def __init__(self, whole: DataLoader, done: int, random_state: Mapping[str, Any]) -> None:
        self.whole, self.done, self._random_state = whole, done, random_state

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - an attribute of the data loader
        return getattr(self.whole, name)

    def __len__(self) -> int:
        return len(self.whole) - self.done

    def __iter__(self) -> Iterator[dict]:
        if len(self) == 0:
            return
        batches = iter(self.whole)
        for _ in itertools.islice(batches, self.done):
            pass
        restore_random_state(self._random_state)
        yield from batches


def save_random_state(runner: Runner, batch_idx: int) -> dict[str, Any]:
    """Return what :class:`EpochSeedHook` needs to continue an epoch.

    Args:
        runner: Of a training.
        batch_idx: Number of the batch that was trained, as hooks get it in ``after_train_iter``.

    Returns:
        The states of torch's generators, ``cpu`` (N,) and ``cuda``, a list with one for each device; ``done``, the
        number of iterations of this epoch that are done; ``length``, the number of iterations of an epoch. A loop of
        iterations has neither ``done`` nor ``length``.
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    state: dict[str, Any] = dict(cpu=torch.get_rng_state(), cuda=cuda)
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        loader = runner.train_dataloader
        before = loader.done if isinstance(loader, _Remaining) else 0
        state.update(done=before + batch_idx + 1, length=before + len(loader))
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Restore the states of torch's generators that :func:`save_random_state` returned.

    Args:
        state: The states. Those of CUDA are left out if there is another number of devices.
    """
    torch.set_rng_state(state["cpu"].cpu())
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([item.cpu() for item in state["cuda"]])

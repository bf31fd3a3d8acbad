"""MMEngine hooks that protect a training; configs name them in ``custom_hooks``."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_reduce, barrier, get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import EpochBasedTrainLoop, Runner, set_random_seed
from mmpose.registry import HOOKS

from ..errors import UserError
from ..host.requirements import list_versions
from ..version import __version__
from .atomic_files import PART, write_atomic
from .checkpoint_loader import read_checkpoint
from .checkpoint_values import to_plain

POINTER = "last_checkpoint"  # MMEngine's file with the path of the checkpoint to resume from
PREEMPTED = "preempted.pth"
FIX = "start a new training with a lower learning rate, and with load_from an earlier checkpoint"


@HOOKS.register_module()
class CheckFiniteHook(Hook):
    """Check that losses, weights and predicted keypoints are finite.

    COCO's evaluation gives NaN predictions an AP of 1, so a diverged model would be saved as the best. This hook checks
    the losses in each iteration, which MMEngine copies from the GPU in each iteration anyway, the keypoints of each
    validated or tested batch, and the weights of each checkpoint before it is saved.
    """

    priority = "LOW"  # before CheckpointHook (VERY_LOW)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: dict) -> None:
        """Raise a UserError with the instances of the batch if a loss is not finite."""
        for name, value in outputs.items():
            if "loss" in name and not torch.as_tensor(value).isfinite().all():
                samples = data_batch["data_samples"]
                instances = ", ".join(f"{sample.get('id')} ({sample.get('img_path')})" for sample in samples)
                raise UserError(
                    f"The loss must be finite, but {name} is {torch.as_tensor(value).item()} in iteration "
                    f"{runner.iter + 1} of epoch {runner.epoch + 1}: {FIX}; the batch has the instances {instances}."
                )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raise a UserError if a weight is not finite."""
        for name, tensor in checkpoint["state_dict"].items():
            if isinstance(tensor, torch.Tensor) and not torch.isfinite(tensor).all():
                raise UserError(f"The weights must be finite, but {name} has NaN or infinite values: {FIX}.")

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence) -> None:
        """Raise a UserError if a keypoint of a batch is not finite: finite weights can still give NaN."""
        for sample in outputs:
            if not torch.isfinite(torch.as_tensor(sample.pred_instances.keypoints)).all():
                raise UserError(
                    f"The model must predict finite coordinates, but those of {sample.get('img_path', 'an image')} are "
                    f"NaN or infinite: the training has diverged; {FIX}."
                )

    after_test_iter = after_val_iter


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Save tensors, numbers, text and containers of them only.

    MMEngine saves objects of its own and of NumPy in a checkpoint. ``torch.load`` refuses them since torch 2.6, because
    loading objects can run code.
    """

    priority = "LOWEST"  # after the hooks that add to the checkpoint
    validated_iter: int | None = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Remember which weights are validated: MMEngine saves most checkpoints before their validation."""
        self.validated_iter = runner.iter

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add versions and the last validated iteration; convert all but the parameters to plain types."""
        versions = dict(tfpose_mm=__version__, **list_versions())
        checkpoint["meta"].update(versions=versions, validated_iter=self.validated_iter)
        for name in set(checkpoint) - {"state_dict", "ema_state_dict"}:
            checkpoint[name] = to_plain(checkpoint[name])


@FUNCTIONS.register_module()
def init_worker(worker_id: int) -> None:
    """Seed NumPy and Python in a data loader's worker, and let only the main process end it.

    torch gives each worker another seed in each epoch, but only for its own generator. MMEngine's default gives NumPy
    the same seed in each epoch. ``torchrun`` and clusters send SIGTERM to all processes of a job: workers obey only
    that of the main process, which can then finish its iteration, and they end when it is gone. In a config::

        train_dataloader = dict(persistent_workers=False, worker_init_fn=dict(type="init_worker"))
    """
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
    main = multiprocessing.parent_process()
    if main is not None and hasattr(signal, "sigtimedwait"):  # macOS and Windows do not have it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(main.pid,), daemon=True).start()


def _obey(main: int | None) -> None:
    """End this process when the main process sends SIGTERM, as multiprocessing does at its end, or when it is gone."""
    parent = os.getppid()  # the main process, or the server that forked this one
    while os.getppid() == parent:
        received = signal.sigtimedwait({signal.SIGTERM}, 2)
        if received is not None and received.si_pid == main:
            break
    os._exit(0)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed all random generators before each epoch, from the seed of the training, the epoch and the rank.

    MMEngine saves no random state, so a resumed training draws other numbers than one that was not interrupted. With
    this hook both have the same random numbers in each epoch, if the workers start anew in each epoch, see
    :func:`init_worker`.
    """

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Seed the sampler: a resumed training without a seed takes that of the checkpoint."""
        if not (runner.cfg.get("randomness") or {}).get("diff_rank_seed"):  # samplers of all ranks need the same seed
            runner.train_dataloader.sampler.seed = runner.seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the generators."""
        words = [runner.seed, runner.epoch, get_rank()]
        set_random_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))


@HOOKS.register_module()
class ResumeHook(Hook):
    """Before a training resumes, find its newest complete checkpoint and log which files are skipped.

    MMEngine resumes from the file that ``last_checkpoint`` names. If the training was killed while it saved, that file
    can be incomplete, or a later one complete. This hook writes the newest complete file of ``preempted.pth``,
    ``epoch_*.pth`` and ``iter_*.pth`` in the work directory into ``last_checkpoint``. It also removes temporary files
    of a killed training.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Correct ``last_checkpoint`` if the config names no checkpoint; raise a UserError if none is complete."""
        if not runner.cfg.get("resume") or runner.cfg.get("load_from"):
            return
        if is_main_process():
            folder = Path(runner.work_dir).absolute()
            for part in folder.glob(f"*{PART}"):
                part.unlink()
                runner.logger.warning(f"{part} was not complete when an earlier training stopped: it is removed.")
            self._correct_pointer(runner, folder)
        barrier()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raise a UserError if the file has weights only; warn if the config has other learning rates or schedules."""
        if not runner.cfg.get("resume"):
            return
        if not {"meta", "message_hub"} <= set(checkpoint):
            raise UserError(
                "Resuming needs a training checkpoint with epoch and logged values, but the file has weights only: set "
                "load_from without resume to start a new training from these weights."
            )
        if isinstance(runner.param_schedulers, list):  # a dict for several optimizers
            kept = _schedule(checkpoint.get("optimizer") or {}, checkpoint.get("param_schedulers") or [])
            wanted = _schedule(runner.optim_wrapper.state_dict(), [one.state_dict() for one in runner.param_schedulers])
            if kept != wanted:
                runner.logger.warning(
                    f"A resumed training keeps the learning rates and schedules of its checkpoint ({kept}), not those "
                    f"of the config ({wanted}): to use those, start a new training with load_from=CHECKPOINT."
                )

    def before_train(self, runner: Runner) -> None:
        """Warn if a resumed training has nothing left to do."""
        if runner.cfg.get("resume") and runner.iter >= runner.max_iters:
            runner.logger.warning(
                f"The checkpoint has all {runner.max_iters} iterations of the config: nothing is left to train. To "
                "train longer, raise train_cfg.max_epochs (or max_iters) and start a new training with load_from."
            )

    def _correct_pointer(self, runner: Runner, folder: Path) -> None:
        names = (PREEMPTED, "epoch_*.pth", "iter_*.pth")
        written = {path: path.stat().st_mtime_ns for name in names for path in folder.glob(name)}
        pointer = folder / POINTER
        named = folder / Path(pointer.read_text().strip()).name if pointer.is_file() else pointer
        if named in written:  # the pointer is written after its checkpoint
            written[named] = pointer.stat().st_mtime_ns
        complete: list[tuple[int, bool, Path, int]] = []  # of those that are newer than the pointer, and the named one
        for path in sorted(written, key=written.__getitem__, reverse=True):
            if complete and written[path] < written.get(named, written[path] + 1):
                break
            try:
                meta = read_checkpoint(path).get("meta", {})
                complete.append((meta.get("iter", 0), path == named, path, meta.get("epoch", 0)))
            except UserError as error:
                runner.logger.warning(f"Skipped: {error}")
        if complete:  # a copied file can be newer than the pointer, and have fewer iterations
            iteration, _, path, epoch = max(complete, key=lambda one: one[:2])
            runner.logger.info(f"Resuming from {path}: epoch {epoch}, iteration {iteration}.")
            write_atomic(pointer, str(path).encode())
        elif written:
            raise UserError(
                f"{folder} must have a complete checkpoint to resume from, but none of its {len(written)} is complete: "
                "start a new training, without resume, in another work directory."
            )


def _schedule(optimizer: dict, schedulers: Sequence[dict]) -> str:
    """Learning rates of the parameter groups before the schedule, each once, and where each schedule ends."""
    rates = sorted({group.get("initial_lr", group["lr"]) for group in optimizer.get("param_groups", ())})
    ends = ", ".join(str(scheduler.get("end")) for scheduler in schedulers)
    return f"learning rates {', '.join(f'{rate:g}' for rate in rates)}, schedules that end at iteration {ends}"


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, finish the iteration, save ``preempted.pth`` in the work directory and exit with status 143.

    ``--resume`` continues from the file. A training by epochs begins the epoch again, with the weights that it has
    reached; its learning-rate schedule does not go back. A training by iterations continues with the next iteration. A
    validation is finished first, and one iteration after it. ``mim train`` does not pass the signal on, ``torchrun``
    does. A training in another than the main thread ignores the signal: only the main thread gets it.
    """

    priority = "LOWEST"  # after the hooks that change the state of the training
    _is_asked = False
    _previous: Any = None
    _process = 0

    def before_train(self, runner: Runner) -> None:
        """Replace the handler of SIGTERM."""
        self._is_asked = False
        if threading.current_thread() is threading.main_thread():
            self._process = os.getpid()
            self._previous = signal.signal(signal.SIGTERM, self._ask) or signal.SIG_DFL  # None: set by another language

    def after_train(self, runner: Runner) -> None:
        """Restore the handler of SIGTERM."""
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: dict) -> None:
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
            f"from {f'the beginning of epoch {runner.epoch + 1}, with these weights' if by_epoch else 'there'}."
        )
        sys.exit(128 + signal.SIGTERM)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a fork has the handler, but must end: multiprocessing.Pool waits for it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._is_asked = True

"""Resume a training from its newest complete checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ...errors import UserError
from ..atomic_files import PART, write_atomic
from ..checkpoint_loader import read_checkpoint

POINTER = "last_checkpoint"  # MMEngine's file with the path of the checkpoint to resume from
PREEMPTED = "preempted.pth"  # of PreemptionHook
NAMES = (PREEMPTED, "epoch_*.pth", "iter_*.pth")


@HOOKS.register_module()
class ResumeHook(Hook):
    """Before a training resumes, find its newest complete checkpoint and log which files are skipped.

    MMEngine resumes from the file that ``last_checkpoint`` in the work directory names. If the training was killed
    while it saved, that file can be incomplete or absent, or a later one can be complete. This hook looks at
    ``preempted.pth``, ``epoch_*.pth`` and ``iter_*.pth`` in the work directory and at the file that ``last_checkpoint``
    names, the one that was written last first, and names the first complete one in ``last_checkpoint``. It also removes
    temporary files that a killed training left. It changes nothing if ``last_checkpoint`` names a remote file.
    """

    priority = "VERY_HIGH"

    def before_run(self, runner: Runner) -> None:
        """Correct ``last_checkpoint`` if the config resumes and names no checkpoint.

        Raises:
            UserError: If there are checkpoints, but none is complete.
        """
        if not runner.cfg.get("resume") or runner.cfg.get("load_from"):
            return
        if is_main_process():
            folder = Path(runner.work_dir)
            for part in folder.glob(f"*.*[0-9]{PART}"):
                part.unlink(missing_ok=True)
                runner.logger.warning(f"{part} was not complete when an earlier training stopped: it is removed.")
            newest = _find_newest(runner, folder)
            if newest is not None:
                write_atomic(folder / POINTER, str(newest).encode())
        barrier()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Say that MMEngine keeps learning rates and schedules of the checkpoint, if the config has others."""
        schedulers = runner.param_schedulers
        if not runner.cfg.get("resume") or not isinstance(schedulers, list):  # a dict for several optimizers
            return
        kept = _schedule(checkpoint.get("optimizer") or {}, checkpoint.get("param_schedulers") or [])
        wanted = _schedule(runner.optim_wrapper.state_dict(), [scheduler.state_dict() for scheduler in schedulers])
        if kept != wanted:
            runner.logger.warning(
                f"A resumed training keeps the learning rates and schedules of its checkpoint ({kept}), not those of "
                f"the config ({wanted}): to use those, start a new training with load_from=CHECKPOINT."
            )

    def before_train(self, runner: Runner) -> None:
        """Say that a resumed training has nothing left to do."""
        if runner.cfg.get("resume") and runner.iter >= runner.max_iters:
            runner.logger.warning(
                f"The checkpoint has all {runner.max_iters} iterations of the config: nothing is left to train. To "
                "train longer, raise train_cfg.max_epochs (or max_iters) and start a new training with load_from."
            )


def _schedule(optimizer: Mapping, schedulers: Iterable[Mapping]) -> str:
    """Learning rates of the parameter groups before the schedule, each once, and where each schedule ends."""
    rates = sorted({group.get("initial_lr", group["lr"]) for group in optimizer.get("param_groups", ())})
    ends = ", ".join(str(scheduler.get("end")) for scheduler in schedulers)
    return f"learning rates {', '.join(f'{rate:g}' for rate in rates)}, schedules that end at iteration {ends}"


def _find_newest(runner: Runner, folder: Path) -> Path | None:
    """The complete checkpoint that was written last; ``None`` leaves the choice to MMEngine."""
    pointer = folder / POINTER
    named = pointer.read_text(errors="replace").strip() if pointer.is_file() else ""
    if "://" in named:
        return None
    written = {path.absolute(): path.stat().st_mtime_ns for name in NAMES for path in folder.glob(name)}
    if Path(named).is_file():
        written[Path(named).absolute()] = pointer.stat().st_mtime_ns  # later than the files that are older than it
    for path in sorted(written, key=written.__getitem__, reverse=True):
        try:
            meta = read_checkpoint(path).get("meta", {})
        except UserError as error:
            runner.logger.warning(f"Skipped: {error}")
            continue
        runner.logger.info(f"Resuming from {path}: epoch {meta.get('epoch')}, iteration {meta.get('iter')}.")
        return path
    if not written:
        return None
    raise UserError(
        f"{folder} must have a complete checkpoint to resume from, but none of its {len(written)} is complete: start a "
        "new training, without resume, in another work directory."
    )

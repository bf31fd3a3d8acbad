"""Resume a training from its newest complete checkpoint."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpose.registry import HOOKS

from ...errors import UserError
from ..atomic_files import PART, write_atomic
from ..checkpoint_loader import read_checkpoint
from .preemption_hook import PREEMPTED

POINTER = "last_checkpoint"  # MMEngine's file with the path of the checkpoint to resume from
PARTS = f"*.*[0-9]{PART}"  # temporary files of write_atomic: name, process, end
TEMPLATES = ("epoch_{}.pth", "iter_{}.pth")  # MMEngine's names of checkpoints


@HOOKS.register_module()
class ResumeHook(Hook):
    """Before a training resumes, find its newest complete checkpoint and log which files are skipped.

    MMEngine resumes from the file that ``last_checkpoint`` in the work directory names. If the training was killed
    while it saved, that file can be incomplete, or ``last_checkpoint`` can be empty. This hook compares

    - ``preempted.pth`` of :class:`PreemptionHook`,
    - the file that ``last_checkpoint`` names,
    - the numbered checkpoints in the work directory, and in ``out_dir`` of each ``CheckpointHook``, with MMEngine's
      names or those of ``filename_tmpl``: for each name the complete one with the highest number. If
      ``last_checkpoint`` names a complete file, only later files count, because older ones can be of an earlier
      training in the same folder.

    It writes the complete one with the most iterations into ``last_checkpoint``. It also removes temporary files that
    a killed training left in these folders. If ``last_checkpoint`` names a remote file, as ``s3://...``, only a
    complete ``preempted.pth`` replaces it, because :class:`PreemptionHook` removes it when a later checkpoint is saved.
    """

    priority = "VERY_HIGH"
    _begin = 0

    def before_run(self, runner: Runner) -> None:
        """Correct ``last_checkpoint`` if the config resumes and names no checkpoint.

        Raises:
            UserError: If there are checkpoints, but none is complete.
        """
        if not runner.cfg.get("resume") or runner.cfg.get("load_from"):
            return
        if is_main_process():
            folder = Path(runner.work_dir)
            for part in (path for place in _folders(runner, folder) for path in place.glob(PARTS)):
                part.unlink(missing_ok=True)
                runner.logger.warning(f"{part} was not complete when an earlier training stopped: it is removed.")
            newest = self._find_newest(runner, folder)
            if newest is not None:
                write_atomic(folder / POINTER, str(newest).encode())
        barrier()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Say that a resumed training keeps the schedule of the checkpoint, if the config has another end."""
        if not runner.cfg.get("resume"):
            return
        rates, new_rates = _rates(checkpoint.get("optimizer")), _rates(runner.optim_wrapper.state_dict())
        if rates and new_rates and rates != new_rates:
            runner.logger.warning(
                f"A resumed training keeps the learning rates of its checkpoint, {_listed(rates)}; those of the "
                f"config are {_listed(new_rates)}. To use them, start a new training with load_from=CHECKPOINT."
            )
        states = checkpoint.get("param_schedulers") or []
        if not isinstance(runner.param_schedulers, list) or not isinstance(states, list):
            return
        kept = [state.get("end", 0) for state in states]
        wanted = [getattr(scheduler, "end", 0) for scheduler in runner.param_schedulers]
        if len(kept) != len(wanted):
            runner.logger.warning(
                f"The checkpoint has {len(kept)} learning-rate schedules, but the config {len(wanted)}: MMEngine "
                "pairs them in order. To use those of the config, start a new training with load_from."
            )
        elif kept != wanted:
            last, end = next((one, other) for one, other in zip(kept, wanted) if one != other)
            length = len(runner.train_dataloader) if isinstance(runner.train_loop, EpochBasedTrainLoop) else None
            runner.logger.warning(
                f"A resumed training keeps the schedule of its checkpoint, which ends at {_place(last, length)}; that "
                f"of the config ends at {_place(end, length)}. Then the learning rate stays at its last value. "
                "To use the config's schedule, start a new training with load_from=CHECKPOINT."
            )

    def before_train(self, runner: Runner) -> None:
        """Look where the training begins."""
        self._begin = runner.iter

    def after_train(self, runner: Runner) -> None:
        """Say that a resumed training had nothing left to do."""
        if runner.cfg.get("resume") and self._begin >= runner.max_iters:
            length = f"{runner.max_epochs} epochs" if runner.max_epochs else f"{runner.max_iters} iterations"
            runner.logger.warning(
                f"The checkpoint has all {length} of the config: nothing was left to train. To train longer, raise "
                "train_cfg.max_epochs (or max_iters) and start a new training with load_from."
            )

    def _find_newest(self, runner: Runner, folder: Path) -> Path | None:
        """The complete checkpoint with the most iterations; the one of :class:`PreemptionHook` if two have as many."""
        pointer = folder / POINTER
        named = pointer.read_text(errors="replace").strip() if pointer.is_file() else ""
        is_remote = "://" in named
        groups = [[folder / PREEMPTED]] if (folder / PREEMPTED).is_file() else []
        found = [item for paths in groups for item in _complete(runner, paths)]
        if not is_remote:
            saved = [Path(named).absolute()] if os.path.isfile(named) else []
            newest = _complete(runner, saved)
            written = pointer.stat().st_mtime_ns if newest else 0
            numbered = [
                [path for path in paths if path not in saved and path.stat().st_mtime_ns > written]
                for paths in _list_numbered(runner, folder)
            ]
            found += newest + [item for paths in numbered for item in _complete(runner, paths)]
            groups += [paths for paths in (saved, *numbered) if paths]
        if found:
            newest = max(found, key=lambda item: item[1].get("iter", 0))
            runner.logger.info(
                f"Resuming from {newest[0]}: epoch {newest[1].get('epoch')}, iteration {newest[1].get('iter')}."
            )
            return newest[0]
        if groups and not is_remote:
            raise UserError(
                f"{folder} must have a complete checkpoint to resume from, but none of its {sum(map(len, groups))} is "
                "complete: start a new training, without resume, in another work directory."
            )
        return None


def _rates(optimizer: dict | None) -> list[float]:
    """Learning rates of the parameter groups before the schedule, each once."""
    groups = (optimizer or {}).get("param_groups")
    return sorted({group.get("initial_lr", group["lr"]) for group in groups}) if isinstance(groups, list) else []


def _listed(rates: list[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


def _place(iterations: int, epoch_length: int | None) -> str:
    return f"iteration {iterations}" if epoch_length is None else f"epoch {iterations / epoch_length:g}"


def _folders(runner: Runner, folder: Path) -> list[Path]:
    """The folders with checkpoints: the work directory and ``out_dir`` of each ``CheckpointHook``."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    # MMEngine adds the name of the work directory to out_dir before the training
    folders = [folder, *(Path(hook.out_dir) / folder.name for hook in hooks if hook.out_dir)]
    return list(dict.fromkeys(path.absolute() for path in folders))


def _list_numbered(runner: Runner, folder: Path) -> list[list[Path]]:
    """The numbered checkpoints of each folder and kind of name, highest number first."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    templates = [*TEMPLATES, *(hook.filename_tmpl for hook in hooks if "{" in hook.filename_tmpl)]
    names = [_compile(template) for template in dict.fromkeys(templates)]
    groups = []
    for place in _folders(runner, folder):
        for name in names:
            found = [(name.fullmatch(path.name), path) for path in place.glob("*") if path.is_file()]
            numbered = [(int(match.group(1)), path) for match, path in found if match]
            groups.append([path for _, path in sorted(numbered, reverse=True)])
    return [paths for paths in groups if paths]


def _compile(template: str) -> re.Pattern:
    """The names that a template as ``epoch_{}.pth`` gives; the number is the first group."""
    return re.compile(r"(\d+)".join(map(re.escape, re.split(r"\{.*?\}", template))))


def _complete(runner: Runner, paths: list[Path]) -> list[tuple[Path, dict]]:
    """The first complete checkpoint, with its ``meta``; an empty list if there is none."""
    for path in paths:
        try:
            return [(path, read_checkpoint(path).get("meta", {}))]
        except UserError as error:
            runner.logger.warning(f"Skipped: {error}")
    return []

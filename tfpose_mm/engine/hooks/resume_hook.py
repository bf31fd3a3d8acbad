"""Resume a training from its newest complete checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from tfpose_mm.engine.atomic_files import PART, write_atomic
from tfpose_mm.engine.checkpoint_loader import read_checkpoint
from tfpose_mm.utils import UserError

from .preemption_hook import PREEMPTED

POINTER = "last_checkpoint"  # MMEngine's file with the path of the checkpoint to resume from
NAME = re.compile(r"(?:epoch|iter)_(\d+)\.pth")


@HOOKS.register_module()
class ResumeHook(Hook):
    """Before a training resumes, find its newest complete checkpoint and log which files are skipped.

    MMEngine resumes from the file that ``last_checkpoint`` in the work directory names. If the training was killed
    while it saved, that file can be incomplete, or ``last_checkpoint`` can be empty. This hook reads the checkpoints
    from the one with the highest number of epochs or iterations downwards, and writes the first complete one into
    ``last_checkpoint``. It also removes temporary files that a killed training left.
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
            for part in folder.glob(f"*{PART}"):
                part.unlink()
                runner.logger.warning(f"{part} was not complete when an earlier training stopped: it is removed.")
            newest = self._find_newest(runner, folder)
            if newest is not None:
                write_atomic(folder / POINTER, str(newest).encode())
        barrier()

    def _find_newest(self, runner: Runner, folder: Path) -> Path | None:
        """The complete checkpoint with the most iterations, of the numbered ones and :class:`PreemptionHook`'s."""
        matches = filter(None, (NAME.fullmatch(path.name) for path in folder.glob("*.pth")))
        numbered = sorted(matches, key=lambda match: int(match.group(1)), reverse=True)
        paths = [folder / match.group() for match in numbered]
        preempted = [folder / PREEMPTED] if (folder / PREEMPTED).is_file() else []
        found = [*_complete(runner, preempted), *_complete(runner, paths)]
        if found:
            newest = max(found, key=lambda item: item[1].get("iter", 0))
            runner.logger.info(
                f"Resuming from {newest[0]}: epoch {newest[1].get('epoch')}, iteration {newest[1].get('iter')}."
            )
            return newest[0]
        if paths or preempted:
            raise UserError(
                f"{folder} must have a complete checkpoint to resume from, but none of its {len(paths + preempted)} is "
                "complete: start a new training, without resume, in another work directory."
            )
        return None


def _complete(runner: Runner, paths: list[Path]) -> list[tuple[Path, dict]]:
    """The first complete checkpoint, with its ``meta``; an empty list if there is none."""
    for path in paths:
        try:
            return [(path, read_checkpoint(path).get("meta", {}))]
        except UserError as error:
            runner.logger.warning(f"Skipped: {error}")
    return []

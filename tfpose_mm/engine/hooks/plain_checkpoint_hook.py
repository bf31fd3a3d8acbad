"""Save checkpoints that any torch loads safely, and report parameters that do not fit."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from ...errors import UserError
from ...host.requirements import list_versions
from ...version import __version__
from ..model_loading import compare_parameters, format_differences
from ..plain_values import to_plain


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Save plain data in checkpoints; report how the parameters of a loaded checkpoint differ from the model's.

    MMEngine saves objects of its own and of NumPy in a checkpoint. ``torch.load`` refuses them since torch 2.6, because
    loading objects can run code. With this hook a checkpoint has tensors, numbers, text and containers of them only.
    """

    priority = "LOWEST"  # after the hooks that add to the checkpoint

    def __init__(self) -> None:
        self.validated_iter: int | None = None

    def before_val_epoch(self, runner: Runner) -> None:
        """Remember which weights are validated: MMEngine saves most checkpoints before their validation."""
        self.validated_iter = runner.iter

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add versions and the last validated iteration; convert all but the parameters to plain types."""
        checkpoint["meta"]["versions"] = dict(tfpose_mm=__version__, **list_versions())
        checkpoint["meta"]["validated_iter"] = self.validated_iter
        for name in [name for name in checkpoint if name not in ("state_dict", "ema_state_dict")]:
            checkpoint[name] = to_plain(checkpoint[name])

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Log a table of the parameters that do not fit the model.

        Raises:
            UserError: If a training should resume from a file that has weights only.
        """
        if runner.cfg.get("resume") and not {"meta", "message_hub"} <= set(checkpoint):
            raise UserError(
                "Resuming needs a training checkpoint with epoch and logged values, but the file has weights only: set "
                "load_from without resume to start a new training from these weights."
            )
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        differences = compare_parameters(model.state_dict(), checkpoint.get("state_dict", checkpoint))
        if differences:
            table = format_differences(differences)
            runner.logger.warning(f"The checkpoint does not fit the model; what fits is loaded:\n{table}")

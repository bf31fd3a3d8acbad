"""What tools share that run a config."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.structures import PoseDataSample

PACKAGE = Path(__file__).parents[1]
# In a clone beside the package; in an installed package where mim looks for them.
CONFIGS = next(
    (folder for folder in (PACKAGE.parent / "configs", PACKAGE / ".mim/configs") if (folder / "_base_").is_dir()),
    PACKAGE.parent / "configs",
)


class KeepSamples(Hook):
    """Keep the first predicted samples of a test.

    Args:
        number: How many.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.samples: list[PoseDataSample] = []

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[PoseDataSample] | None = None,
    ) -> None:
        """Take what is still wanted from a batch's outputs."""
        self.samples += list(outputs or ())[: self.number - len(self.samples)]


def need_file(what: str, path: str | Path, remedy: str) -> None:
    """Refuse to begin without a file.

    Args:
        what: What the file is, for the message.
        path: The file.
        remedy: What the user can do.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"The {what} {path} does not exist: {remedy}.")


def read_config(path: str | Path, options: dict | None = None) -> Config:
    """Read a config and change it as ``--cfg-options`` says.

    Args:
        path: The config.
        options: Values by their dotted keys.

    Returns:
        The config.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    need_file("config", path, "give a path from the current folder")
    cfg = Config.fromfile(str(path))
    cfg.merge_from_dict(options or {})
    return cfg

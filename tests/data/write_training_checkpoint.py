"""Write a training checkpoint as the installed torch and numpy do: python -m tests.data.write_training_checkpoint"""

from __future__ import annotations

import numpy as np
import torch

from tests.engine.test_checkpoint_loader import training_checkpoint
from tests.helpers.paths import ROOT

if __name__ == "__main__":
    versions = (
        f"{name}{'.'.join(module.__version__.split('.')[:2])}" for name, module in (("torch", torch), ("numpy", np))
    )
    torch.save(training_checkpoint(), ROOT / f"tests/data/training_{'_'.join(versions)}.pth")

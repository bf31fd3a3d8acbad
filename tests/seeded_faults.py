"""Seed faults into a copy of the package, one at a time; each must fail a test: python -m tests.seeded_faults."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT

LAYERS, HEADS, LOSSES, NECKS = (f"tfpose_mm/models/{part}" for part in ("layers", "heads", "losses", "necks"))


class Fault(NamedTuple):
    """One fault: text of a file that is replaced, and the tests that must notice it."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


FAULTS = (
    Fault(
        "keypoints on their counterpart are swaps",
        "tfpose_mm/evaluation/error_kinds.py",
        "nearest == 1]",
        "nearest == 2]",
        "tests/evaluation/test_error_kinds.py",
    ),
    Fault(
        "keypoint similarity without the factor 2 of sigma",
        "tfpose_mm/evaluation/error_kinds.py",
        "(2 * sigmas) ** 2",
        "sigmas**2",
        "tests/evaluation/test_error_kinds.py",
    ),
    Fault(
        "instances whose box has no area are trained",
        "tfpose_mm/datasets/annotation_checks.py",
        '("bbox_without_area", SKIPPED,',
        '("bbox_without_area", WARNING,',
        "tests/datasets",
    ),
    Fault(
        "the flip pair of an inferred keypoint is itself",
        "tfpose_mm/own_data/keypoints.py.jinja",
        "swap={{ quote(point.swap) }}",
        "swap={{ quote(point.name) }}",
        "tests/own_data",
    ),
    Fault(
        "a sign in equation (4)",
        f"{LAYERS}/decoder.py",
        "inverse_sigmoid(coordinates) + step",
        "inverse_sigmoid(coordinates) - step",
        "tests/models/layers/test_decoder.py",
    ),
    Fault(
        "gradients flow from a decoder layer to the one before it",
        f"{LAYERS}/decoder.py",
        "coordinates = refined.detach()",
        "coordinates = refined",
        "tests/models/layers/test_decoder.py",
    ),
    Fault(
        "width and height of a level swapped",
        "tfpose_mm/ops/multi_scale_deformable_attention.py",
        "for h, w in spatial_shapes for side in (w, h)",
        "for h, w in spatial_shapes for side in (h, w)",
        "tests/models/layers/test_deformable_attention.py",
    ),
    Fault(
        "level embeddings in the wrong order",
        f"{LAYERS}/positions.py",
        "level_embed[i][:, None, None]",
        "level_embed[-1 - i][:, None, None]",
        "tests/models/layers/test_encoder.py",
    ),
    Fault(
        "samples half a pixel off",
        "tfpose_mm/ops/grid_sample.py",
        "align_corners=False",
        "align_corners=True",
        "tests/ops",
    ),
    Fault(
        "attention weights of another query",
        "tfpose_mm/ops/grid_sample.py",
        "weight = weights[:, :, level]",
        "weight = weights.flip(-1)[:, :, level]",
        "tests/ops",
    ),
    Fault(
        "the position is added to the values of query-to-query attention",
        f"{LAYERS}/transformer.py",
        "located, located, query.transpose(0, 1),",
        "located, located, located,",
        "tests/models/layers/test_decoder.py",
    ),
    Fault(
        "flip pairs are not swapped in the flip test",
        f"{HEADS}/tfpose_head.py",
        'flip_indices=metainfo["flip_indices"],\n                shift_coords',
        "flip_indices=range(self.num_joints),\n                shift_coords",
        "tests/models/heads/test_tfpose_head.py",
    ),
    Fault(
        "a joint of weight 0 gets a gradient",
        f"{LOSSES}/tfpose_loss.py",
        'reg_loss: ConfigType = dict(type="L1Loss", use_target_weight=True)',
        'reg_loss: ConfigType = dict(type="L1Loss", use_target_weight=False)',
        "tests/models/heads/test_tfpose_head.py",
    ),
    Fault(
        "lambda of equation (7) is not applied",
        f"{LOSSES}/tfpose_loss.py",
        "self.aux_weight * self.aux_loss(",
        "self.aux_loss(",
        "tests/models/losses",
    ),
    Fault(
        "labels are divided by the width, not by the width - 1",
        "tfpose_mm/codecs/tfpose_label.py",
        "last_pixel = np.array(self.input_size) - 1",
        "last_pixel = np.array(self.input_size)",
        "tests/codecs",
    ),
    Fault(
        "heat maps are read half a pixel off",
        f"{LAYERS}/keypoint_maps.py",
        "align_corners=True",
        "align_corners=False",
        "tests/models/layers/test_keypoint_maps.py",
    ),
    Fault(
        "a parent's init_cfg sets the sampling offsets to zero",
        f"{LAYERS}/deformable_attention.py",
        "            child.init_weights()",
        "            pass",
        "tests/models/layers/test_decoder.py",
    ),
    Fault(
        "the neck returns its levels coarse to fine",
        f"{NECKS}/deformable_transformer_neck.py",
        "records), spatial_shapes)\n",
        "records), spatial_shapes)[::-1]\n",
        "tests/models/necks",
    ),
    Fault(
        "the transformer learns at the full learning rate",
        "configs/tfpose_r50_coco_256x192.py",
        "lr_mult=0.1",
        "lr_mult=1.0",
        "tests/test_configs.py",
    ),
)


def find(fault: Fault, folder: Path) -> bool:
    """Whether the tests fail with a fault.

    Args:
        fault: The fault.
        folder: A copy of the repository; it is restored.

    Returns:
        Whether at least one of the fault's tests fails.
    """
    path = folder / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.right) != 1:
        raise ValueError(f"{fault.file} must hold {fault.right!r} once, but does {text.count(fault.right)} times.")
    path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", fault.tests]
        return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1
    finally:
        path.write_text(text, encoding="utf-8")


def copy_repository(folder: Path) -> None:
    """Copy the files that git tracks or would track.

    Args:
        folder: Where to.
    """
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listed.splitlines()):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def main() -> int:
    """Try every fault; 1 if the tests miss one."""
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder))
        for fault in FAULTS:
            found = find(fault, Path(folder))
            missed += not found
            print(f"{'found ' if found else 'MISSED'}  {fault.name} ({fault.file}; {fault.tests})", flush=True)
    print(f"{len(FAULTS) - missed} of {len(FAULTS)} faults are found.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

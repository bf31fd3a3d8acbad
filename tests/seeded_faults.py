"""Seed faults into a copy of the package, one at a time; each must fail a test: python -m tests.seeded_faults."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers.paths import ROOT

LAYERS, HEADS, LOSSES, NECKS = (f"tfpose_mm/models/{part}" for part in ("layers", "heads", "losses", "necks"))
OPS, LAYER_TESTS, HEAD_TESTS = "tfpose_mm/ops", "tests/models/layers", "tests/models/heads/test_tfpose_head.py"

# a file and the tests that must notice its faults: the name of each fault, the right text of the file, the wrong text
FAULTS = {
    ("tfpose_mm/evaluation/error_kinds.py", "tests/evaluation/test_error_kinds.py"): [
        ("keypoints on their counterpart are swaps", "nearest == 1]", "nearest == 2]"),
        ("keypoint similarity without the factor 2 of sigma", "(2 * sigmas) ** 2", "sigmas**2"),
    ],
    ("tfpose_mm/datasets/annotation_checks.py", "tests/datasets"): [
        ("instances whose box has no area are trained", '_without_area", SKIPPED,', '_without_area", WARNING,'),
    ],
    ("tfpose_mm/own_data/keypoints.py.jinja", "tests/own_data"): [
        ("the flip pair of an inferred keypoint is itself", "swap={{ quote(point.swap)", "swap={{ quote(point.name)"),
    ],
    (f"{LAYERS}/decoder.py", f"{LAYER_TESTS}/test_decoder.py"): [
        ("a sign in equation (4)", "inverse_sigmoid(coordinates) + step", "inverse_sigmoid(coordinates) - step"),
        ("gradients flow to the layer before", "coordinates = refined.detach()", "coordinates = refined"),
    ],
    (f"{OPS}/multi_scale_deformable_attention.py", f"{LAYER_TESTS}/test_deformable_attention.py"): [
        ("width and height of a level swapped", "for side in (w, h)", "for side in (h, w)"),
    ],
    (f"{LAYERS}/positions.py", f"{LAYER_TESTS}/test_encoder.py"): [
        ("level embeddings in the wrong order", "level_embed[i][:, None, None]", "level_embed[-1 - i][:, None, None]"),
    ],
    (f"{OPS}/grid_sample.py", "tests/ops"): [
        ("samples half a pixel off", "align_corners=False", "align_corners=True"),
        ("attention weights of another query", "weights[:, :, level]", "weights.flip(-1)[:, :, level]"),
    ],
    (f"{LAYERS}/transformer.py", f"{LAYER_TESTS}/test_decoder.py"): [
        ("the position is added to the values of query-to-query attention", "query.transpose(0, 1),", "located,"),
    ],
    (f"{HEADS}/tfpose_head.py", HEAD_TESTS): [
        (
            "flip pairs are not swapped in the flip test",
            'flip_indices=metainfo["flip_indices"],\n                shift_coords',
            "flip_indices=range(self.num_joints),\n                shift_coords",
        ),
    ],
    (f"{LOSSES}/tfpose_loss.py", HEAD_TESTS): [
        ("a joint of weight 0 gets a gradient", 'L1Loss", use_target_weight=True', 'L1Loss", use_target_weight=False'),
    ],
    (f"{LOSSES}/tfpose_loss.py", "tests/models/losses"): [
        ("lambda of equation (7) is not applied", "self.aux_weight * self.aux_loss(", "self.aux_loss("),
    ],
    ("tfpose_mm/codecs/tfpose_label.py", "tests/codecs"): [
        ("labels are divided by the width, not by the width - 1", "(self.input_size) - 1", "(self.input_size)"),
    ],
    (f"{LAYERS}/keypoint_maps.py", f"{LAYER_TESTS}/test_keypoint_maps.py"): [
        ("heat maps are read half a pixel off", "align_corners=True", "align_corners=False"),
    ],
    (f"{LAYERS}/deformable_attention.py", f"{LAYER_TESTS}/test_decoder.py"): [
        ("a parent's init_cfg sets the sampling offsets to zero", "child.init_weights()", "pass"),
    ],
    (f"{NECKS}/deformable_transformer_neck.py", "tests/models/necks"): [
        ("the neck returns its levels coarse to fine", "records), spatial_shapes)", "records), spatial_shapes)[::-1]"),
    ],
    ("configs/tfpose_r50_coco_256x192.py", "tests/test_configs.py"): [
        ("the transformer learns at the full learning rate", "lr_mult=0.1", "lr_mult=1.0"),
    ],
}


def is_found(folder: Path, file: str, tests: str, right: str, wrong: str) -> bool:
    """Whether at least one of the tests fails with a fault in a copy of the repository, which is restored."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    if text.count(right) != 1:
        raise ValueError(f"{file} must hold {right!r} once, but does {text.count(right)} times.")
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", tests]
        return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 1
    finally:
        path.write_text(text, encoding="utf-8")


def copy_repository(folder: Path) -> None:
    """Copy the files that git tracks or would track to a folder."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    for name in filter(None, listed.splitlines()):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def main() -> int:
    """Try every fault; 1 if the tests miss one."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        copy_repository(Path(folder))
        for (file, tests), faults in FAULTS.items():
            for name, right, wrong in faults:
                results.append(is_found(Path(folder), file, tests, right, wrong))
                print(f"{'found ' if results[-1] else 'MISSED'}  {name} ({file}; {tests})", flush=True)
    print(f"{sum(results)} of {len(results)} faults are found.")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

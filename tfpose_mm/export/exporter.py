"""Export a model to ONNX and check that it predicts what it predicts in torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from mmengine.config import Config

from ..config_files import read_config
from ..datasets.config_data import input_size, keypoint_names, list_data_sets
from ..engine import sha256
from ..engine.running import need_checkpoint
from ..errors import UserError, need_new
from ..host.requirements import installed_version, list_versions
from ..inference import Predictor
from ..models.heads import is_tfpose_head
from ..version import __version__
from .graph import InferenceGraph
from .onnx_file import OPSET, need_package, write_onnx
from .parity import VARIATION, Parity, compare_with_torch, find_persons, predict_with_torch
from .runner import PoseRunner

TOLERANCES = {False: 0.01, True: 1.0}  # pixels of the image, without and with fp16


class Export(NamedTuple):
    """What :func:`export_onnx` did.

    Attributes:
        path: The model.
        runner: The copy of the runner, ``None`` if it was not asked for.
        metadata: The metadata of the model.
        parities: How each engine differs from torch.
        persons: How many persons were compared, and where they are from.
        variation: Largest distance of a keypoint between persons, in pixels of the input.
    """

    path: Path
    runner: Path | None
    metadata: dict
    parities: Sequence[Parity]
    persons: str
    variation: float

    def __str__(self) -> str:
        """What was written, and how it was checked."""
        size = self.path.stat().st_size / 1e6
        lines = [f"model:   {self.path} ({size:.1f} MB, opset {self.metadata['opset']})"]
        if self.runner:
            lines.append(f"runner:  {self.runner}")
        lines.append(f"checked: {self.persons}; keypoints differ by up to {self.variation:.0f} pixels between persons")
        lines += [
            f"         {parity.engine}: largest difference from torch {parity.keypoints:.2g} pixels, of scores "
            f"{parity.scores:.2g}"
            for parity in self.parities
        ]
        return "\n".join(lines)


def export_onnx(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    out: str | Path,
    keypoint_scores: Literal["auto", "keypoint_map", "heatmap", "one"] = "auto",
    flip_test: bool = False,
    fp16: bool = False,
    runner: bool = False,
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> Export:
    """Export a trained model with ONNX, and check that it predicts what torch predicts.

    32 persons, of the config's test data or else of synthetic images, are predicted with torch, with ONNX Runtime and,
    if it is installed, with OpenVINO. The file is written only if all keypoints agree within 0.01 pixels of the image,
    or 1 pixel with fp16. Its metadata have all that a runner needs.

    Args:
        config: Config of a top-down estimator, or the name of a packaged one.
        checkpoint: Checkpoint file.
        out: The .onnx file, which must not exist.
        keypoint_scores: Kind of keypoint scores; auto: from keypoint maps or heat maps if the model has them.
        flip_test: Whether the exported model predicts the mean of image and mirrored image.
        fp16: Whether to compute in half precision.
        runner: Whether to write onnx_runner.py beside the model; it needs neither torch nor MMPose.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        The files, and how they were checked.

    Raises:
        UserError: If a file exists already, a package is missing, the model cannot be exported, the checkpoint does not
            fit, its predictions do not depend on the image, or an engine predicts something else than torch.
    """
    cfg = read_config(config, cfg_options)
    if not is_tfpose_head(cfg.model.head):
        raise UserError(
            f"The exported model must have a TFPoseHead, but the config has a {cfg.model.head.type}: choose another "
            "config, or export it with MMDeploy."
        )
    out = Path(out)
    copy = out.with_name("onnx_runner.py") if runner else None
    need_new(*filter(None, (out, copy)))
    need_checkpoint(checkpoint)
    need_package("onnx")
    need_package("onnxruntime")
    predictor = Predictor(cfg, checkpoint, keypoint_scores=keypoint_scores)
    predictor.model.test_cfg["flip_test"] = flip_test
    size = input_size(cfg)
    metadata = _describe(predictor, checkpoint, flip_test, fp16)
    persons, origin = find_persons(cfg)
    reference = predict_with_torch(predictor, persons)
    if reference.variation < VARIATION:
        raise UserError(
            f"The predictions must differ between persons by more than {VARIATION:g} pixels, so that they can be "
            f"compared, but those of {checkpoint} differ by {reference.variation:.2g}: export a trained checkpoint."
        )

    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        graph = InferenceGraph(predictor.model, predictor.metainfo, size, flip_test)
        write_onnx(graph, size, part, metadata, fp16)
        parities = []
        for engine in ("onnxruntime", *(["openvino"] if find_spec("openvino") else [])):
            name = f"{engine} {installed_version(engine)}"
            parities.append(compare_with_torch(PoseRunner(str(part), engine), name, persons, reference))
            _check_parity(parities[-1], TOLERANCES[fp16])
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    if copy is not None:
        shutil.copyfile(Path(__file__).with_name("runner.py"), copy)
    return Export(out, copy, metadata, parities, f"{len(persons)} persons {origin}", reference.variation)


def _check_parity(parity: Parity, tolerance: float) -> None:
    if not parity.keypoints <= tolerance:  # also if it is NaN
        raise UserError(
            f"The exported model must agree with torch within {tolerance:g} pixels, but {parity.engine} differs by "
            f"{parity.keypoints:.3g}: nothing was written; install another version of the engine."
        )


def _describe(predictor: Predictor, checkpoint: str | Path, flip_test: bool, fp16: bool) -> dict[str, object]:
    """The metadata of the file: what a runner must know about a model, plain values by name."""
    pipeline = list_data_sets(predictor.cfg, "test_dataloader")[0]["pipeline"]
    steps = {step["type"].rpartition(".")[2]: step for step in pipeline}
    unknown = sorted(set(steps) - {"LoadImage", "GetBBoxCenterScale", "TopdownAffine", "PackPoseInputs"})
    if unknown:
        raise UserError(
            "The test pipeline must consist of LoadImage, GetBBoxCenterScale, TopdownAffine and PackPoseInputs, but "
            f"has {unknown[0]}: remove it."
        )
    channels = predictor.cfg.model.data_preprocessor
    preprocessor, metainfo = predictor.model.data_preprocessor, predictor.metainfo
    return dict(
        task="top-down 2D keypoints",
        input_size=list(input_size(predictor.cfg)),
        mean=np.ravel(preprocessor.mean.tolist()).tolist(),
        std=np.ravel(preprocessor.std.tolist()).tolist(),
        bgr_to_rgb=bool(channels.get("bgr_to_rgb") or channels.get("rgb_to_bgr")),
        padding=float(steps.get("GetBBoxCenterScale", {}).get("padding", 1.25)),
        use_udp=bool(steps["TopdownAffine"].get("use_udp", False)),
        keypoint_names=keypoint_names(metainfo),
        skeleton_links=[list(map(int, link)) for link in metainfo["skeleton_links"]],
        flip_pairs=[[index, int(other)] for index, other in enumerate(metainfo["flip_indices"]) if index < int(other)],
        sigmas=[float(sigma) for sigma in np.ravel(metainfo["sigmas"])],
        keypoint_scores=predictor.keypoint_scores,
        flip_test=flip_test,
        fp16=fp16,
        opset=OPSET,
        checkpoint_sha256=sha256(Path(checkpoint)),
        versions=dict(tfpose_mm=__version__, **list_versions()),
    )

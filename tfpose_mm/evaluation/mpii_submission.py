"""Predict MPII's test set, and write the submission file for MPII's evaluation from MPII's release file.

The release, ``mpii_human_pose_v1_u12_1.mat``, is one MATLAB struct RELEASE. These fields are used: ``annolist``, a
struct array with one element per image, whose ``annorect`` is a struct array with one element per person (``objpos``,
``scale``); ``img_train``, 1 or 0 for each image; ``single_person``, which has for each image the 1-based indices of the
persons who are separated from others. The single-person benchmark is evaluated on these persons.

Source: the instructions of MPII's evaluation page for single-person pose estimation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from scipy.io import loadmat, savemat
from scipy.io.matlab import MatReadError

from ..config_files import read_config
from ..datasets.config_data import predicted_keypoints
from ..engine.running import KeepSamples, run_test
from ..errors import UserError, need_file, need_new

NUM_JOINTS = 16


def submit_mpii(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    release: str | Path,
    out: str | Path = "work_dirs/mpii_submission",
    cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
) -> str:
    """Predict MPII's test set, and write the file that MPII's evaluation takes.

    The test annotations of MPII are not public: MPII's authors compute PCKh (Table 7 of the paper) from this file,
    pred_keypoints_mpii.mat. It has the persons of the test images that the release lists as single persons.

    Args:
        config: Config for MPII, as tfpose_r50_mpii_256x256.
        checkpoint: Checkpoint file.
        release: mpii_human_pose_v1_u12_1.mat of MPII's annotations.
        out: Folder for the file, the log and mpii_test.json, the persons in MPII's json format.
        cfg_options: Changes to the config, as in mim: key=value.

    Returns:
        Where the file is, and the number of persons in it.

    Raises:
        UserError: If the file exists already; if release, checkpoint or images cannot be used; if the config is not one
            for MPII.
    """
    cfg, out = read_config(config, cfg_options), Path(out)
    path = out / "pred_keypoints_mpii.mat"
    need_new(path)
    content = read_release(release)
    people = single_people(content)
    write_submission(content, people, _predict_people(cfg, checkpoint, people, out), path)
    return f"{len(people)} persons are written to {path}: send it as MPII's evaluation page says."


def _predict_people(cfg: Config, checkpoint: str | Path, people: list[MpiiPerson], work_dir: Path) -> np.ndarray:
    """Predict persons of the release: (P, 16, 2), (x, y) in pixels of the image; the first pixel is 0."""
    data = cfg.test_dataloader.dataset
    if data.type != "MpiiDataset" or predicted_keypoints(cfg) != NUM_JOINTS:
        raise UserError(
            f"The config predicts {predicted_keypoints(cfg)} joints of a {data.type}: choose one that predicts the 16 "
            "joints of MpiiDataset, as configs/tfpose_r50_mpii_256x256.py does."
        )
    images = Path(data.get("data_root") or "", data.data_prefix.img)
    need_file("image", images / people[0].image, "set MPII_ROOT to the folder that has all of MPII's images in images/")
    # MMPose skips persons without joints; these placeholders are not used
    placeholders = dict(joints_vis=[0] * NUM_JOINTS)
    listed = [
        dict(image=p.image, center=p.center, scale=p.scale, joints=[p.center] * NUM_JOINTS, **placeholders)
        for p in people
    ]
    work_dir.mkdir(parents=True, exist_ok=True)
    annotations = work_dir / "mpii_test.json"  # kept, because faults are reported by their row in it
    annotations.write_text(json.dumps(listed), encoding="utf-8")
    data.update(ann_file=str(annotations.absolute()), headbox_file=None)
    cfg.test_evaluator = []
    keep = KeepSamples()
    run_test(cfg, checkpoint, work_dir, keep)
    keypoints = np.full((len(people), NUM_JOINTS, 2), np.nan)
    for sample in keep.samples:
        keypoints[sample.id] = sample.pred_instances.keypoints[0]
    return keypoints


class MpiiPerson(NamedTuple):
    """A person of MPII's single-person test set.

    Attributes:
        image_index: Index of the image in ``annolist``, from 0.
        rect_index: Index of the person in the image's ``annorect``, from 0.
        image: File name of the image.
        center: (x, y) of ``objpos``, in pixels; the first pixel is 1, as in MATLAB.
        scale: Height of the person divided by 200 pixels.
    """

    image_index: int
    rect_index: int
    image: str
    center: tuple[float, float]
    scale: float


def read_release(path: str | Path) -> np.ndarray:
    """The struct RELEASE of ``mpii_human_pose_v1_u12_1.mat``, or a UserError if the file is another one."""
    need_file("release file", path, "mpii_human_pose_v1_u12_1.mat is part of MPII's annotations")
    try:
        release = loadmat(str(path))["RELEASE"][0, 0]
        release["annolist"], release["img_train"], release["single_person"]
    except (ValueError, KeyError, NotImplementedError, MatReadError) as error:
        raise UserError(
            f"{path} is not MPII's release file: it needs a struct RELEASE with annolist, img_train and single_person; "
            "use mpii_human_pose_v1_u12_1.mat of MPII's annotations."
        ) from error
    return release


def single_people(release: np.ndarray) -> list[MpiiPerson]:
    """Each person of a test image who is in ``single_person`` and has position and scale, in the release's order."""
    people = []
    images = zip(release["annolist"][0], release["img_train"].ravel(), release["single_person"].ravel())
    for image_index, (image, is_train, singles) in enumerate(images):
        if is_train:
            continue
        for rect_index in (int(index) - 1 for index in np.ravel(singles)):
            rect = image["annorect"][0, rect_index]
            if not {"objpos", "scale"} <= set(rect.dtype.names) or not rect["objpos"].size or not rect["scale"].size:
                continue  # MPII's own evaluation skips them, too
            name, objpos = str(image["image"][0, 0]["name"][0]), rect["objpos"][0, 0]
            center = (float(objpos["x"][0, 0]), float(objpos["y"][0, 0]))
            people.append(MpiiPerson(image_index, rect_index, name, center, float(rect["scale"][0, 0])))
    if not people:
        raise UserError("The release file lists no single person in a test image: use the complete file.")
    return people


def write_submission(release: np.ndarray, people: Sequence[MpiiPerson], keypoints: np.ndarray, path: Path) -> None:
    """Write ``pred``: the ``annolist`` of the test images with the predicted keypoints.

    Args:
        release: What :func:`read_release` returns; it is not changed.
        people: The predicted persons.
        keypoints: Their joints in MPII's order, (P, 16, 2), (x, y) in pixels of the image. The first pixel is 0 here
            and 1 in the file, as in MATLAB. A UserError refuses another shape, and values that are not finite.
        path: The file, ``pred_keypoints_mpii.mat`` for the server.
    """
    if keypoints.shape != (len(people), NUM_JOINTS, 2) or not np.isfinite(keypoints).all():
        raise UserError(
            f"A submission needs finite keypoints of shape {(len(people), NUM_JOINTS, 2)}, one for each person, "
            f"but got shape {keypoints.shape}: predict with a model of MPII's 16 joints."
        )
    annolist = release["annolist"].copy()
    by_image: dict[int, dict[int, np.ndarray]] = {}
    for person, points in zip(people, keypoints):
        by_image.setdefault(person.image_index, {})[person.rect_index] = points
    for image_index, predicted in by_image.items():
        annolist["annorect"][0, image_index] = _with_points(annolist["annorect"][0, image_index], predicted)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(str(path), {"pred": annolist[:, release["img_train"].ravel() == 0]}, do_compression=True)


def _with_points(rects: np.ndarray, predicted: dict[int, np.ndarray]) -> np.ndarray:
    """Return an image's struct array of persons; annopoints.point(id, x, y) is empty for those not predicted."""
    given = rects.dtype.names or ()
    names = [*given] if "annopoints" in given else [*given, "annopoints"]
    filled = np.empty(rects.shape, dtype=[(name, object) for name in names])
    for name in given:
        filled[name] = rects[name]
    for index in range(rects.shape[1]):
        filled["annopoints"][0, index] = np.empty((0, 0))
    for index, points in predicted.items():
        point = np.empty((1, len(points)), dtype=[("x", object), ("y", object), ("id", object)])
        for joint, (x, y) in enumerate(points + 1.0):
            point[0, joint] = (float(x), float(y), float(joint))
        filled["annopoints"][0, index] = dict(point=point)
    return filled

"""The submission file for MPII's evaluation, made from MPII's release file.

The release, ``mpii_human_pose_v1_u12_1.mat``, is one MATLAB struct RELEASE. These fields are used: ``annolist``, a
struct array with one element per image, whose ``annorect`` is a struct array with one element per person (``objpos``,
``scale``); ``img_train``, 1 or 0 for each image; ``single_person``, which has for each image the 1-based indices of the
persons who are separated from others. The single-person benchmark is evaluated on these persons.

Source: the instructions of MPII's evaluation page for single-person pose estimation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import loadmat, savemat
from scipy.io.matlab import MatReadError

from ..errors import UserError

NUM_JOINTS = 16


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
    """Read MPII's release file.

    Args:
        path: ``mpii_human_pose_v1_u12_1.mat``.

    Returns:
        The struct RELEASE, as an element of a structured array.

    Raises:
        UserError: If the file does not exist.
        UserError: If it is not MPII's release file.
    """
    if not Path(path).is_file():
        raise UserError(
            f"The release file {path} does not exist: mpii_human_pose_v1_u12_1.mat is part of MPII's annotations."
        )
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
    """List the persons of the single-person benchmark, in the order of the release.

    Args:
        release: What :func:`read_release` returns.

    Returns:
        Every person of a test image who is in ``single_person`` and has a position and a scale.
    """
    people = []
    images = zip(release["annolist"][0], release["img_train"].ravel(), release["single_person"].ravel())
    for image_index, (image, is_train, singles) in enumerate(images):
        if is_train:
            continue
        for rect_index in (int(index) - 1 for index in np.ravel(singles)):
            rect = image["annorect"][0, rect_index]
            if not {"objpos", "scale"} <= set(rect.dtype.names) or not rect["objpos"].size or not rect["scale"].size:
                continue  # MPII's own evaluation skips them, too
            objpos = rect["objpos"][0, 0]
            people.append(
                MpiiPerson(
                    image_index,
                    rect_index,
                    str(image["image"][0, 0]["name"][0]),
                    (float(objpos["x"][0, 0]), float(objpos["y"][0, 0])),
                    float(rect["scale"][0, 0]),
                )
            )
    return people


def write_submission(release: np.ndarray, people: Sequence[MpiiPerson], keypoints: np.ndarray, path: Path) -> None:
    """Write ``pred``: the ``annolist`` of the test images with the predicted keypoints.

    Args:
        release: What :func:`read_release` returns; it is not changed.
        people: The predicted persons.
        keypoints: Their joints in MPII's order, (P, 16, 2), (x, y) in pixels of the image. The first pixel is 0 here
            and 1 in the file, as in MATLAB.
        path: The file, ``pred_keypoints_mpii.mat`` for the server.

    Raises:
        UserError: If ``keypoints`` has another shape or has values that are not finite.
    """
    if keypoints.shape != (len(people), NUM_JOINTS, 2) or not np.isfinite(keypoints).all():
        raise UserError(
            f"A submission needs finite keypoints of shape {(len(people), NUM_JOINTS, 2)}, one set for each person, "
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

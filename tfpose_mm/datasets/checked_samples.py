"""What the checked data sets of all formats share: images, and samples that fail."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log
from mmpose.datasets.transforms import RandomHalfBody

from ..errors import UserError
from .annotation_numbers import BodyPart
from .findings import REFUSED, Finding
from .finite_samples import find_not_finite
from .image_files import LARGEST, likely_name, missing_files

LIST_ALL = "'tfpose check-data CONFIG' lists all faults"


_Host: Any = object  # the data set's class


class CheckedSamples(_Host):
    """Check the images and the samples of a data set of MMPose, which comes after this class in the bases.

    When a sample is loaded, an image that cannot be read, a transform that fails, and targets that are not finite
    raise a ``UserError`` with the image and the annotation.
    """

    id_name = "annotation id"  # what the ``id`` of a sample is

    def _half_bodies(self) -> list[BodyPart]:
        return find_half_bodies(self.pipeline.transforms, self._metainfo)

    def _refuse(self, findings: list[Finding]) -> None:
        refused = [finding for finding in findings if finding.severity == REFUSED]
        if refused:
            raise UserError(f"{refused[0]} ({LIST_ALL}).")

    def _without_missing_images(self, data_list: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
        """Leave out the samples whose image does not exist; return the others and the number of missing images."""
        if not self._reads_local_images():
            return data_list, 0
        paths = {info["img_path"] for info in data_list}
        missing = missing_files(paths)
        if not missing:
            return data_list, 0
        if self.test_mode or 2 * len(missing) > len(paths):
            folder = self.data_prefix.get("img", "")
            limit = "all images of a test must exist" if self.test_mode else "at least half of the images must exist"
            meant = likely_name(min(missing), folder)
            fix = "correct data_root or data_prefix in the config, or copy the images"
            if meant is not None:
                fix = f"probably '{meant}' is meant, which exists: correct file_name in the annotation file"
            raise UserError(
                f"{self.ann_file}: {limit}, but {len(missing)} of {len(paths)} are missing in the folder "
                f"'{folder}', as '{min(missing)}': {fix}."
            )
        print_log(
            f"{self.ann_file}: {len(missing)} of {len(paths)} images are missing and their instances are left out, as "
            f"'{min(missing)}'",
            logger="current",
            level=logging.WARNING,
        )
        return [info for info in data_list if info["img_path"] not in missing], len(missing)

    def _reads_local_images(self) -> bool:
        loaders = [step for step in self.pipeline.transforms if isinstance(step, LoadImageFromFile)]
        local = all(loader.backend_args is None and loader.file_client_args is None for loader in loaders)
        return bool(loaders) and local and "://" not in str(self.data_prefix.get("img", ""))

    def prepare_data(self, idx: int) -> Any:  # noqa: ANN401 - what the pipeline returns
        """Load a sample.

        Args:
            idx: Index of the sample.

        Raises:
            UserError: If the image cannot be read, if a transform fails, or if the sample is not finite.
        """
        try:
            data = super().prepare_data(idx)
        except UserError:
            raise
        except Exception as error:
            raise UserError(self._explain(idx, error)) from error
        sample = data.get("data_samples") if isinstance(data, dict) else None
        wrong = find_not_finite(sample, ("gt_instances", "gt_instance_labels"))
        if wrong:
            raise UserError(
                f"{self._sample(idx)}: the pipeline must give finite numbers, but {wrong} has NaN or infinite values: "
                "correct the box and the keypoints of this annotation or delete it."
            )
        return data

    def _explain(self, idx: int, error: Exception) -> str:
        path = self.get_data_info(idx)["img_path"]
        if not self._reads_local_images():
            problem = "the pipeline must succeed", "correct the image, the annotation or the pipeline"
        elif not os.path.isfile(path):
            problem = "the image must be a file", "copy the image, or correct data_root or data_prefix in the config"
        elif (image := _decode(path)) is not None and max(image.shape[:2]) > LARGEST:
            problem = f"no side of the image may be longer than {LARGEST} pixels", "scale or cut the image"
        elif image is None:
            problem = "the image must be readable", "download or copy the image again, or delete its annotations"
        else:
            problem = "the pipeline must succeed", "correct this annotation, or the pipeline in the config"
        cause = f"{type(error).__name__}: {error}".replace("\n", " ")
        return f"{self._sample(idx)}: {problem[0]}, but fails with '{cause:.300}': {problem[1]}."

    def _sample(self, idx: int) -> str:
        """Name the image and the annotation of a sample."""
        info = self.get_data_info(idx)
        kind, file = ("box", self.bbox_file) if self.bbox_file else (self.id_name, self.ann_file)
        return f"{info['img_path']} ({file}, {kind} {info.get('id')})"


def find_half_bodies(transforms: Iterable[object], metainfo: Mapping[str, Any]) -> list[BodyPart]:
    """List the keypoints around which ``RandomHalfBody`` crops; if they are at one place, it gives NaN.

    Args:
        transforms: The steps of a pipeline.
        metainfo: MMPose's parsed metainfo, with ``upper_body_ids`` and ``lower_body_ids``.

    Returns:
        The parts of the body.
    """
    return [
        BodyPart(metainfo[ids], least, step.min_total_keypoints)
        for step in transforms
        if isinstance(step, RandomHalfBody) and step.prob > 0
        for ids, least in (("upper_body_ids", step.min_upper_keypoints), ("lower_body_ids", step.min_lower_keypoints))
        if metainfo[ids]
    ]


def _decode(path: str) -> np.ndarray | None:
    try:
        return cv2.imread(path)
    except cv2.error:  # for example if the header gives a size above OpenCV's limits
        return None

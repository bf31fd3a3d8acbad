"""MMPose's COCO data set with checks of annotations and images, which explain faults in one sentence."""

from __future__ import annotations

import logging
import os.path as osp
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import mmpose
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import MessageHub, print_log
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.datasets.datasets.body import CocoDataset
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample

from ..errors import UserError
from .annotation_checks import Inspection, inspect_annotations
from .annotations import read_json
from .findings import REFUSED, SKIPPED, describe_groups

# MMPose leaves these instances out of a test, too, and AP counts them as missed
LEFT_OUT_IN_TESTS = ("bbox_without_area", "num_keypoints_zero", "keypoints_at_origin")


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """MMPose's ``CocoDataset`` with checks of annotations and images.

    A training stops with a ``UserError`` before its first iteration if it would go wrong on a file as a whole, or if
    half of the images are missing. Else it leaves out rows that it cannot use and instances of missing images, with a
    warning; the other rows are what MMPose makes of them. In a test (``test_mode=True``) faulty rows and missing images
    raise a ``UserError``, because the metric reads the annotation file itself: a row that is left out counts as a
    missed instance. Only instances that MMPose leaves out, too, as those without an area in the image, and boxes
    without an area in ``bbox_file`` are left out with a warning.

    An image that cannot be read, a transform that fails, and targets that are not finite raise a ``UserError`` with the
    image and the annotation.

    Args:
        *args: Arguments of ``CocoDataset``.
        use_area: Whether the metrics of a test use ``area``; set it as that of ``CocoMetric``. If False, a test accepts
            annotations without an area.
        **kwargs: Arguments of ``CocoDataset``.
    """

    # CocoDataset's path is relative to a clone of MMPose; outside of one, MMPose finds the file, too, but warns
    METAINFO: ClassVar[dict] = dict(
        from_file=str(Path(mmpose.__file__).parent / ".mim" / CocoDataset.METAINFO["from_file"])
    )

    def __init__(self, *args: Any, use_area: bool = True, **kwargs: Any) -> None:  # noqa: ANN401 - any data set
        self.use_area = use_area
        super().__init__(*args, **kwargs)
        if not self.test_mode or (self._indices is None and self.sample_interval == 1):
            return
        if self.bbox_file:
            raise UserError(
                "A test on detected boxes needs all of them, but the data set has indices or a sample_interval, and AP "
                "would count the other instances as missed: leave them out, or set bbox_file=None."
            )
        # CocoMetric then takes the annotations of the tested samples
        MessageHub.get_current_instance().update_info(f"{self.metainfo['dataset_name']}_ann_file", None)
        self._log(
            "a part of the instances is tested (indices or sample_interval). CocoMetric counts this part, unless it "
            "has an ann_file of its own, whose other instances it counts as missed"
        )

    def _log(self, text: str, level: int = logging.WARNING) -> None:
        print_log(f"{self.ann_file}: {text}", logger="current", level=level)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Check the annotation file, the boxes and the images' names; return what MMPose makes of the good rows.

        Raises:
            UserError: If the data cannot be used; the sentence has the file, the row and the fix.
        """
        content, found = inspect_data_set(self, self.test_mode)
        refused = [finding for finding in found.findings if finding.severity == REFUSED]
        if refused:
            row, detail = refused[0][3:]
            place = self.ann_file if row is None else f"{self.ann_file}, row {row}"
            raise UserError(f"{place}: {detail} ('tfpose check-data CONFIG' lists all faults).")
        rows = content.get("annotations", [])
        self._good = content["categories"], found.images, [r for i, r in enumerate(rows) if i not in found.skipped]
        data_list = super().load_data_list()
        del self._good
        data_list = self._without_missing_images(data_list)
        if not data_list:
            raise UserError(
                f"{self.bbox_file or self.ann_file}: at least one instance is needed, but none is used: correct "
                "sample_interval in the config or choose another file."
            )
        left_out = "left out, and AP counts them as missed" if self.test_mode else "left out"
        for severity, text in describe_groups(found.findings):
            self._log(f"{left_out if severity == SKIPPED else 'used'}: {text}")
        level = logging.WARNING if found.skipped else logging.INFO
        self._log(f"{len(data_list)} samples of {len(rows)} annotations are used; left out: {found.left_out}", level)
        return data_list

    def _load_annotations(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Give MMPose the good rows in place of those of the file, in the same order."""
        self._metainfo["CLASSES"], by_id, rows = self._good
        of_image = defaultdict(list)
        for row in rows:
            of_image[row["image_id"]].append(row)
        folder, used = self.data_prefix["img"], [one for one in by_id.items() if one[0] % self.sample_interval == 0]
        images = [dict(image, img_id=number, img_path=osp.join(folder, image["file_name"])) for number, image in used]
        pairs = [dict(raw_ann_info=row, raw_img_info=image) for image in images for row in of_image[image["img_id"]]]
        return [info for info in map(self.parse_data_info, pairs) if info], images

    def _load_detection_results(self) -> list[dict[str, Any]]:
        """Leave out detected boxes without an area or with NaN: a pose from such a box is not finite."""
        try:
            data_list = super()._load_detection_results()
            if not data_list:
                raise ValueError("no box with category_id 1")
        except Exception as error:
            cause, fix = f"{type(error).__name__}: {error}", "correct it or choose another bbox_file"
            form = '[{"image_id": 1, "category_id": 1, "bbox": [x, y, width, height], "score": 0.9}, ...]'
            raise UserError(f"{self.bbox_file} must be boxes as {form}, but has '{cause:.200}': {fix}.") from error
        numbers = np.array([[*one["bbox"][0], *one["bbox_score"]] for one in data_list])
        good = np.isfinite(numbers).all(1) & (numbers[:, 2:4] > numbers[:, :2]).all(1)
        if not good.all():
            number = f"{len(good) - good.sum()} of {len(good)} persons in {self.bbox_file} are left out, the first is"
            self._log(f"{number} person {np.argmin(good)}: the box has no area, or a number is not finite")
        return [one for one, is_good in zip(data_list, good) if is_good]

    def _without_missing_images(self, data_list: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out the samples whose image does not exist, if the pipeline reads local images."""
        loaders = [step for step in self.pipeline.transforms if isinstance(step, LoadImageFromFile)]
        local = all(loader.backend_args is None and loader.file_client_args is None for loader in loaders)
        paths = {info["img_path"] for info in data_list if loaders and local and "://" not in info["img_path"]}
        missing = {path for path in paths if not osp.exists(path)}
        if not missing:
            return data_list
        numbers = f"{len(missing)} of {len(paths)} images are missing, as '{min(missing)}'"
        if self.test_mode or 2 * len(missing) > len(paths):
            limit = "all images of a test must exist" if self.test_mode else "at least half of the images must exist"
            fix = "correct data_root or data_prefix in the config, file_name in the file, or copy the images"
            raise UserError(f"{self.ann_file}: {limit}, but {numbers}: {fix}.")
        self._log(f"{numbers}: their instances are left out")
        return [info for info in data_list if info["img_path"] not in missing]

    def prepare_data(self, idx: int) -> Any:  # noqa: ANN401 - what the pipeline returns
        """Load a sample.

        Args:
            idx: Index of the sample.

        Raises:
            UserError: If the image cannot be read, if a transform fails, or if the sample is not finite.
        """
        data, error = None, None
        try:
            data = super().prepare_data(idx)
            wrong = _find_not_finite(data.get("data_samples"))
            fault = f"{wrong} is not finite" if wrong else None
        except Exception as raised:
            error, fault = raised, f"{type(raised).__name__}: {raised}".replace("\n", " ")
        if fault:
            info = self.get_data_info(idx)
            file, kind = (self.bbox_file, "box") if self.bbox_file else (self.ann_file, "annotation id")
            raise UserError(
                f"{info['img_path']} ({file}, {kind} {info.get('id')}): the pipeline must load it and give finite "
                f"numbers, but has '{fault:.300}': correct or delete the image or the annotation."
            ) from error
        return data


def _find_not_finite(sample: PoseDataSample | None) -> str | None:
    """The first array that has NaN or infinite values, as ``"gt_instance_labels.keypoint_labels"``; else ``None``."""
    for part in ("gt_instances", "gt_instance_labels"):
        for name, value in getattr(sample, part, {}).items():
            if isinstance(value, (np.ndarray, torch.Tensor)) and not torch.as_tensor(value).isfinite().all():
                return f"{part}.{name}"
    return None


def inspect_data_set(data: BaseCocoStyleDataset, for_test: bool) -> tuple[Any, Inspection]:
    """Read and check the annotation file of a data set: its content, and the findings with the severity of a test.

    The metric of a test reads the annotation file itself and counts every row, also one that the data set leaves out.
    So a test refuses what would change the score silently.

    Raises:
        UserError: If it cannot be read.
    """
    content = read_json(data.ann_file)
    found = inspect_annotations(content, data.ann_file, data.metainfo["num_keypoints"], not data.bbox_file)
    for index, finding in enumerate(found.findings if for_test else ()):
        needs_area = finding.check == "area_not_positive" and getattr(data, "use_area", True)
        if needs_area or (finding.severity == SKIPPED and finding.check not in LEFT_OUT_IN_TESTS):
            detail = f"{finding.detail}; the metric of a test uses this row"
            found.findings[index] = finding._replace(severity=REFUSED, detail=detail)
    return content, found

"""Data sets that check annotations and images, and explain faults in one sentence."""

from __future__ import annotations

import logging
import os.path as osp
from collections.abc import Container
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import cv2
import mmpose
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get_local_path
from mmengine.logging import MessageHub, print_log
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.datasets.datasets.body import CocoDataset
from mmpose.registry import DATASETS
from mmpose.structures.bbox import bbox_xywh2xyxy

from ..errors import UserError
from .annotation_checks import Rows, half_body_checks, in_tests, inspect_annotations
from .annotation_files import read_annotations, read_json
from .annotation_structure import PERSON, AnnotationReport, check_boxes
from .findings import REFUSED, SKIPPED, WARNING, describe_group, group_findings
from .finite_samples import find_not_finite
from .image_files import LARGEST, missing_files, missing_image

_Host: Any = object  # the data set's class


class CheckedAnnotations(_Host):
    """Check annotations and images of a COCO-style data set of MMPose, which comes after this class in the bases.

    When the annotations are loaded:

    - A file that cannot be read, or on which a training would go wrong as a whole, raises a ``UserError``.
    - Rows that cannot be trained on are left out, and a warning has their number for each kind of fault. So are
      instances of missing images, unless half of the images are missing, which raises a ``UserError``.
    - The other rows are what MMPose makes of them.

    In a test (``test_mode=True``) nothing is left out that changes the score silently, because the metric reads the
    annotation file itself: a row that is left out counts as a missed instance, and NaN gives a NaN score. Faulty
    rows and missing images raise a ``UserError``. The exception is instances without an area in the image, which MMPose
    leaves out, too: they are left out with a warning, so that scores agree with those of MMPose. Of the
    detections in ``bbox_file``, those without an area or with NaN are left out with a warning; they could match no
    instance.

    When a sample is loaded, an image that cannot be read, a transform that fails, and targets that are not finite
    raise a ``UserError`` with the image and the annotation.

    The class is for data sets whose annotations have all K keypoints in ``keypoints``.

    Args:
        *args: Arguments of the data set.
        use_area: Whether the metrics of a test use ``area``; set it as that of ``CocoMetric``. If False, a test accepts
            annotations without an area.
        **kwargs: Arguments of the data set.
    """

    def __init__(self, *args: Any, use_area: bool = True, **kwargs: Any) -> None:  # noqa: ANN401 - any data set
        self.use_area = use_area
        super().__init__(*args, **kwargs)
        if self.test_mode and (self._indices is not None or self.sample_interval > 1):
            self._count_only_the_part()

    def _count_only_the_part(self) -> None:
        """Let ``CocoMetric`` take the annotations of the tested samples in place of the whole file."""
        if self.bbox_file:
            raise UserError(
                "A test on detected boxes needs all of them, but the data set has indices or a sample_interval, and AP "
                "would count the other instances as missed: leave them out, or set bbox_file=None."
            )
        MessageHub.get_current_instance().update_info(f"{self.metainfo['dataset_name']}_ann_file", None)
        self._warn(
            "a part of the instances is tested (indices or sample_interval). CocoMetric counts this part, unless it "
            "has an ann_file of its own, whose other instances it counts as missed"
        )

    def _warn(self, text: str, level: int = logging.WARNING) -> None:
        print_log(f"{self.ann_file}: {text}", logger="current", level=level)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Check the annotation file, the boxes and the images' names; return what MMPose makes of the good rows.

        Raises:
            UserError: If the data cannot be used; the sentence has the file, the row and the fix.
        """
        content, boxes, report, _ = inspect_data_set(self, self.test_mode)
        refused = [finding for finding in report.findings if finding.severity == REFUSED]
        if refused:
            raise UserError(f"{refused[0]} ('tfpose check-data CONFIG' lists all faults).")
        rows = content.get("annotations", [])
        images = _without(content["images"], report.skipped_images)
        self._good = content["categories"], images, _without(rows, report.skipped_rows), boxes
        data_list, missing = self._without_missing_images(super().load_data_list())
        del self._good
        if not data_list:
            raise UserError(
                f"{self.ann_file}: at least one instance is needed, but MMPose uses none of {len(rows)} annotations: "
                "correct sample_interval in the config or choose another annotation file."
            )
        self._log(report, len(rows), len(data_list), missing)
        return data_list

    def _load_annotations(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Give MMPose the good rows in place of those of the file, in the same order."""
        self._metainfo["CLASSES"], images, rows, _ = self._good
        of_image: dict[Any, list[dict[str, Any]]] = {}
        for row in rows:
            of_image.setdefault(row["image_id"], []).append(row)
        images = [image for image in images if image["id"] % self.sample_interval == 0]
        images = [dict(image, img_id=image["id"], img_path=self._image_path(image)) for image in images]
        pairs = [dict(raw_ann_info=row, raw_img_info=one) for one in images for row in of_image.get(one["img_id"], [])]
        return [info for info in map(self.parse_data_info, pairs) if info], images

    def _load_detection_results(self) -> list[dict[str, Any]]:
        """Give MMPose the good boxes of persons in place of those of the file, with keypoints of 0."""
        self._metainfo["CLASSES"], images, _, boxes = self._good
        by_id, num_keypoints = {image["id"]: image for image in images}, self._metainfo["num_keypoints"]
        persons = [(by_id[box["image_id"]], box) for box in boxes if box["category_id"] == PERSON]
        return [
            dict(
                img_id=image["id"],
                img_path=self._image_path(image),
                img_shape=(image["height"], image["width"]),
                bbox=bbox_xywh2xyxy(np.array([box["bbox"][:4]], dtype=np.float32)),
                bbox_score=np.array([box["score"]], dtype=np.float32),
                keypoints=np.zeros((1, num_keypoints, 2), dtype=np.float32),
                keypoints_visible=np.ones((1, num_keypoints), dtype=np.float32),
                id=number,
            )
            for number, (image, box) in enumerate(persons)
        ]

    def _image_path(self, image: dict[str, Any]) -> str:
        return osp.join(self.data_prefix["img"], image["file_name"])

    def _without_missing_images(self, data_list: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
        """Leave out the samples whose image does not exist; return the others and the number of missing images."""
        if not self._reads_local_images():
            return data_list, 0
        paths = {info["img_path"] for info in data_list}
        missing = missing_files(paths)
        if not missing:
            return data_list, 0
        example, folder = min(missing), self.data_prefix.get("img", "")
        if self.test_mode or 2 * len(missing) > len(paths):
            limit = "all images of a test must exist" if self.test_mode else "at least half of the images must exist"
            raise UserError(
                f"{self.ann_file}: {limit}, but {len(missing)} of {len(paths)} are missing in the folder '{folder}', "
                f"as '{example}': {missing_image(example, folder)}."
            )
        self._warn(f"{len(missing)} of {len(paths)} images are missing, as '{example}': their instances are left out")
        return [info for info in data_list if info["img_path"] not in missing], len(missing)

    def _reads_local_images(self) -> bool:
        loaders = [step for step in self.pipeline.transforms if isinstance(step, LoadImageFromFile)]
        local = all(loader.backend_args is None and loader.file_client_args is None for loader in loaders)
        return bool(loaders) and local and "://" not in str(self.data_prefix.get("img", ""))

    def _log(self, report: AnnotationReport, num_rows: int, num_samples: int, missing: int) -> None:
        """Log a line for each kind of fault, and how many instances are used."""
        left_out = "left out, and AP counts them as missed" if self.test_mode and not self.bbox_file else "left out"
        for severity, outcome in ((SKIPPED, left_out), (WARNING, "used")):
            for group in group_findings(finding for finding in report.findings if finding.severity == severity):
                text = f"{group[0].file}: {outcome}: {describe_group(group)}"
                print_log(text, logger="current", level=logging.WARNING)
        faulty = len(report.skipped_rows)
        counts = (report.crowds, "crowds"), (report.without_keypoints, "without labelled keypoints"), (faulty, "faulty")
        reasons = ", ".join(f"{count} {name}" for count, name in counts if count)
        unit = "boxes" if self.bbox_file else "instances" if self.data_mode == "topdown" else "images"
        self._warn(
            f"{num_samples} {unit} are used; of {num_rows} annotations, {reasons or 'none'} "
            f"{'are' if reasons else 'is'} left out{f', {missing} images are missing' if missing else ''}",
            logging.WARNING if any(finding.severity == SKIPPED for finding in report.findings) else logging.INFO,
        )

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
            cause = f"{type(error).__name__}: {error}".replace("\n", " ")
            expected, fix = self._explain(self.get_data_info(idx)["img_path"])
            raise UserError(f"{self._sample(idx)}: {expected}, but fails with '{cause:.300}': {fix}.") from error
        sample = data.get("data_samples") if isinstance(data, dict) else None
        wrong = find_not_finite(sample, ("gt_instances", "gt_instance_labels"))
        if wrong:
            raise UserError(
                f"{self._sample(idx)}: the pipeline must give finite numbers, but {wrong} has NaN or infinite values: "
                "correct the box and the keypoints of this annotation or delete it."
            )
        return data

    def _explain(self, path: str) -> tuple[str, str]:
        """What is expected of an image whose sample fails, and how to fix it."""
        if not self._reads_local_images():
            return "the pipeline must succeed", "correct the image, the annotation or the pipeline"
        if not osp.isfile(path):
            return "the image must be a file", "copy the image, or correct data_root or data_prefix in the config"
        try:
            image = cv2.imread(path)
        except cv2.error:  # for example if the header gives a size above OpenCV's limits
            image = None
        if image is None:
            return "the image must be readable", "download or copy the image again, or delete its annotations"
        if max(image.shape[:2]) > LARGEST:
            return f"no side of the image may be longer than {LARGEST} pixels", "scale or cut the image"
        return "the pipeline must succeed", "correct this annotation, or the pipeline in the config"

    def _sample(self, idx: int) -> str:
        """Name the image and the annotation of a sample."""
        info = self.get_data_info(idx)
        kind, file = ("box", self.bbox_file) if self.bbox_file else ("annotation id", self.ann_file)
        return f"{info['img_path']} ({file}, {kind} {info.get('id')})"


@DATASETS.register_module()
class CheckedCocoDataset(CheckedAnnotations, CocoDataset):
    """MMPose's ``CocoDataset`` with the checks of `CheckedAnnotations`; the arguments are those of ``CocoDataset``."""

    # CocoDataset's path is relative to a clone of MMPose; outside of one, MMPose finds the file, too, but warns
    METAINFO: ClassVar[dict] = dict(
        from_file=str(Path(mmpose.__file__).parent / ".mim" / CocoDataset.METAINFO["from_file"])
    )


class Inspected(NamedTuple):
    """What is read for a data set and found in it: the good boxes; ``instances`` as `inspect_annotations` has it."""

    content: dict[str, Any]
    boxes: list[dict[str, Any]]
    report: AnnotationReport
    instances: Rows | None


def inspect_data_set(data: BaseCocoStyleDataset, for_test: bool) -> Inspected:
    """Read and check the annotation file and the boxes of a data set.

    Args:
        data: The data set; only its arguments, its metainfo and its pipeline are used.
        for_test: Whether the findings have the severity that they have in a test.

    Raises:
        UserError: If a file cannot be read.
    """
    with get_local_path(data.ann_file) as path:
        content = read_annotations(path)
    checks = half_body_checks(data.pipeline.transforms, data.metainfo)
    num_keypoints = data.metainfo["num_keypoints"]
    report, instances = inspect_annotations(content, data.ann_file, num_keypoints, not data.bbox_file, checks)
    if for_test:
        use_area = getattr(data, "use_area", True)
        report.findings = [in_tests(finding, use_area) for finding in report.findings]
    boxes: list = []
    if data.bbox_file and instances is not None:
        with get_local_path(data.bbox_file) as path:
            boxes = read_json(path)
        findings = check_boxes(boxes, data.bbox_file, report.sizes)
        report.findings += findings
        boxes = _without(boxes, {finding.row for finding in findings}) if isinstance(boxes, list) else []
    return Inspected(content, boxes, report, instances)


def _without(rows: list, indices: Container[int | None]) -> list:
    return [row for index, row in enumerate(rows) if index not in indices]

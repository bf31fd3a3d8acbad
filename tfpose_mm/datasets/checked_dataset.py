"""Data sets that check annotations and images, and explain faults in one sentence."""

from __future__ import annotations

import logging
import os
from collections import Counter
from contextlib import contextmanager
from typing import Any, Iterator

import cv2
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from mmpose.datasets.datasets.base import base_coco_style_dataset as host
from mmpose.datasets.datasets.body import CocoDataset
from mmpose.datasets.transforms import RandomHalfBody
from mmpose.registry import DATASETS
from xtcocotools.coco import COCO

from ..utils.errors import UserError
from ..utils.samples import find_not_finite
from .annotation_checks import group_findings, in_tests, inspect_annotations
from .annotation_files import read_annotations, read_json
from .annotation_numbers import BodyPart
from .annotation_structure import AnnotationReport
from .box_checks import check_boxes
from .findings import REFUSED, SKIPPED, WARNING, Finding
from .image_files import missing_files

LIST_ALL = "'python -m tfpose_mm.tools.check_data CONFIG' lists all faults"


class CheckedAnnotations:
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

    def load_data_list(self) -> list[dict[str, Any]]:
        """Check the annotation file, the boxes and the images' names; return what MMPose makes of the good rows.

        Raises:
            UserError: If the data cannot be used; the sentence has the file, the row and the fix.
        """
        with get_local_path(self.ann_file) as path:
            content = read_annotations(path)
        report = inspect_annotations(
            content, self.ann_file, self._metainfo["num_keypoints"], not self.bbox_file, self._half_bodies()
        )
        if self.test_mode:
            report.findings = [in_tests(finding, self.use_area) for finding in report.findings]
        boxes, box_findings = self._read_boxes(content, report)
        self._refuse([*report.findings, *box_findings])
        num_rows = len(content.get("annotations", ()))
        content["images"] = _without(content["images"], report.skipped_images)
        if report.skipped_rows:
            content["annotations"] = _without(content["annotations"], report.skipped_rows)
        with _parsed(content, boxes):
            data_list = super().load_data_list()
        data_list, missing = self._without_missing_images(data_list)
        if not data_list:
            raise UserError(
                f"{self.ann_file}: at least one instance is needed, but MMPose uses none of {num_rows} annotations: "
                "correct sample_interval in the config or choose another annotation file."
            )
        self._log(report, box_findings, num_rows, len(data_list), missing)
        return data_list

    def _half_bodies(self) -> list[BodyPart]:
        """The keypoints around which ``RandomHalfBody`` of the pipeline crops; without an extent it gives NaN."""
        return [
            BodyPart(self._metainfo[ids], least, step.min_total_keypoints)
            for step in self.pipeline.transforms
            if isinstance(step, RandomHalfBody) and step.prob > 0
            for ids, least in (
                ("upper_body_ids", step.min_upper_keypoints),
                ("lower_body_ids", step.min_lower_keypoints),
            )
            if self._metainfo[ids]
        ]

    def _read_boxes(
        self, content: dict[str, Any], report: AnnotationReport
    ) -> tuple[list[dict[str, Any]] | None, list[Finding]]:
        """Read and check ``bbox_file``; return the good boxes and the faults."""
        if not self.bbox_file or any(finding.severity == REFUSED for finding in report.findings):
            return None, []
        with get_local_path(self.bbox_file) as path:
            boxes = read_json(path)
        usable = _without(content["images"], report.skipped_images)
        findings = check_boxes(boxes, self.bbox_file, {image["id"] for image in usable})
        if any(finding.severity == REFUSED for finding in findings):
            return None, findings
        return _without(boxes, {finding.row for finding in findings}), findings

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
            raise UserError(
                f"{self.ann_file}: {limit}, but {len(missing)} of {len(paths)} are missing in the folder "
                f"'{folder}', as '{min(missing)}': correct data_root or data_prefix in the config, or copy the images."
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

    def _log(
        self, report: AnnotationReport, box_findings: list[Finding], num_rows: int, num_samples: int, missing: int
    ) -> None:
        """Log the counts of faults, and how many instances are used."""
        findings = [*report.findings, *box_findings]
        left_out = "left out, and AP counts them as missed" if self.test_mode and not self.bbox_file else "left out"
        for severity, outcome in ((SKIPPED, left_out), (WARNING, "used")):
            for group in group_findings(f for f in findings if f.severity == severity):
                file = group.first[0].file
                print_log(f"{file}: {outcome}: {group}", logger="current", level=logging.WARNING)
        counts = Counter({"crowds": report.crowds, "without labelled keypoints": report.without_keypoints})
        counts["faulty"] = len(report.skipped_rows)
        reasons = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        unit = "boxes" if self.bbox_file else "instances" if self.data_mode == "topdown" else "images"
        images = f", {missing} images are missing" if missing else ""
        level = logging.WARNING if report.skipped_rows or report.skipped_images or box_findings else logging.INFO
        print_log(
            f"{self.ann_file}: {num_samples} {unit} are used; of {num_rows} annotations, {reasons or 'none'} "
            f"{'are' if reasons else 'is'} left out{images}",
            logger="current",
            level=level,
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
        elif _cannot_decode(path):
            problem = "the image must be readable", "download or copy the image again, or delete its annotations"
        else:
            problem = "the pipeline must succeed", "correct this annotation, or the pipeline in the config"
        cause = f"{type(error).__name__}: {error}".replace("\n", " ")
        return f"{self._sample(idx)}: {problem[0]}, but fails with '{cause:.300}': {problem[1]}."

    def _sample(self, idx: int) -> str:
        """Name the image and the annotation of a sample."""
        info = self.get_data_info(idx)
        kind, file = ("box", self.bbox_file) if self.bbox_file else ("annotation id", self.ann_file)
        return f"{info['img_path']} ({file}, {kind} {info.get('id')})"


@DATASETS.register_module()
class CheckedCocoDataset(CheckedAnnotations, CocoDataset):
    """MMPose's ``CocoDataset`` with the checks of `CheckedAnnotations`; the arguments are those of ``CocoDataset``."""


@contextmanager
def _parsed(content: dict[str, Any], boxes: list[dict[str, Any]] | None) -> Iterator[None]:
    """Let MMPose use the checked content in place of parsing the files again."""
    names = {"COCO": lambda path: COCO(path, ann_data=content)}
    if boxes is not None:
        names["load"] = lambda _: boxes
    before = {name: getattr(host, name) for name in names}
    vars(host).update(names)
    try:
        yield
    finally:
        vars(host).update(before)


def _without(rows: list, indices: set[int]) -> list:
    return [row for index, row in enumerate(rows) if index not in indices] if indices else rows


def _cannot_decode(path: str) -> bool:
    return cv2.imread(path) is None

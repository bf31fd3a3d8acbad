"""Data sets that check annotations and images, and explain faults in one sentence."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, ClassVar

import mmpose
from mmengine.fileio import get_local_path
from mmengine.logging import MessageHub, print_log
from mmpose.datasets.datasets.base import base_coco_style_dataset as host
from mmpose.datasets.datasets.body import CocoDataset
from mmpose.registry import DATASETS
from xtcocotools.coco import COCO

from ..errors import UserError
from .annotation_checks import group_findings, in_tests, inspect_annotations
from .annotation_files import read_annotations, read_json
from .annotation_structure import AnnotationReport
from .box_checks import check_boxes
from .checked_samples import CheckedSamples
from .findings import REFUSED, SKIPPED, WARNING, Finding


class CheckedAnnotations(CheckedSamples):
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

    Samples are checked as in `CheckedSamples` when they are loaded.

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
        print_log(
            f"{self.ann_file}: a part of the instances is tested (indices or sample_interval). CocoMetric counts this "
            "part, unless it has an ann_file of its own, whose other instances it counts as missed",
            logger="current",
            level=logging.WARNING,
        )

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
        boxes, box_findings = self._read_boxes(report)
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

    def _read_boxes(self, report: AnnotationReport) -> tuple[list[dict[str, Any]] | None, list[Finding]]:
        """Read and check ``bbox_file``; return the good boxes and the faults."""
        if not self.bbox_file or report.is_refused:
            return None, []
        with get_local_path(self.bbox_file) as path:
            boxes = read_json(path)
        findings = check_boxes(boxes, self.bbox_file, report.image_ids)
        if any(finding.severity == REFUSED for finding in findings):
            return None, findings
        return _without(boxes, {finding.row for finding in findings}), findings

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


@DATASETS.register_module()
class CheckedCocoDataset(CheckedAnnotations, CocoDataset):
    """MMPose's ``CocoDataset`` with the checks of `CheckedAnnotations`; the arguments are those of ``CocoDataset``."""

    # CocoDataset's path is relative to a clone of MMPose; outside of one, MMPose finds the file, too, but warns
    METAINFO: ClassVar[dict] = dict(
        from_file=str(Path(mmpose.__file__).parent / ".mim" / CocoDataset.METAINFO["from_file"])
    )


@contextmanager
def _parsed(content: dict[str, Any], boxes: list[dict[str, Any]] | None) -> Generator[None, None, None]:
    """Let MMPose use the checked content in place of parsing the files again."""
    names: dict[str, Callable] = {"COCO": lambda path: COCO(path, ann_data=content)}
    if boxes is not None:
        names["load"] = lambda _: boxes
    before = {name: getattr(host, name) for name in names}
    vars(host).update(names)
    try:
        yield
    finally:
        vars(host).update(before)


def _without(rows: list, indices: Set[int | None]) -> list:
    return [row for index, row in enumerate(rows) if index not in indices] if indices else rows

"""MMPose's ``MpiiDataset`` with checks."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from mmengine.fileio import get_local_path
from mmengine.logging import print_log
from mmpose.datasets.datasets.body import MpiiDataset, mpii_dataset
from mmpose.registry import DATASETS
from scipy.io import loadmat

from ..errors import MissingFileError, UserError
from .annotation_checks import group_findings
from .annotation_files import read_json
from .annotation_structure import AnnotationReport
from .checked_samples import CheckedSamples
from .findings import SKIPPED, WARNING
from .mpii_checks import inspect_mpii, mpii_in_tests


@DATASETS.register_module()
class CheckedMpiiDataset(CheckedSamples, MpiiDataset):
    """MMPose's ``MpiiDataset`` with the checks of `inspect_mpii`; the arguments are those of ``MpiiDataset``.

    A training leaves faulty rows and the persons of missing images out, with a warning. It raises a ``UserError`` if
    more than half of them are faulty or missing. A test raises a ``UserError`` for each of them.
    """

    id_name = "row"

    def load_data_list(self) -> list[dict[str, Any]]:
        """Check the annotation file and the images' names; return what MMPose makes of the good rows.

        Raises:
            UserError: If the data cannot be used; the sentence has the file, the row and the fix.
        """
        if self.bbox_file:
            raise UserError(
                f"{self.bbox_file}: MpiiDataset uses the boxes of ann_file, but has a bbox_file: set bbox_file=None."
            )
        with get_local_path(self.ann_file) as path:
            content = read_json(path)
        num_keypoints = self._metainfo["num_keypoints"]
        report = inspect_mpii(content, self.ann_file, num_keypoints, not self.test_mode, self._half_bodies())
        if self.test_mode:
            report.findings = [mpii_in_tests(finding) for finding in report.findings]
        self._refuse(report.findings)
        self._check_head_boxes(len(content))
        self._left_out = report.skipped_rows
        good = next(row for index, row in enumerate(content) if index not in report.skipped_rows)
        content = [good if index in report.skipped_rows else row for index, row in enumerate(content)]
        with _parsed(content):
            data_list = super().load_data_list()
        data_list, missing = self._without_missing_images(data_list)
        if not data_list:
            raise UserError(
                f"{self.ann_file}: at least one person is needed, but MMPose uses none of {len(content)} rows: choose "
                "another annotation file."
            )
        self._log(report, len(content), len(data_list), missing)
        return data_list

    def _load_annotations(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Leave the faulty rows out after MMPose has numbered them: the head boxes have the same numbers."""
        instances, images = super()._load_annotations()
        return [instance for instance in instances if instance["id"] not in self._left_out], images

    def _check_head_boxes(self, num_rows: int) -> None:
        if not self.headbox_file:
            return
        try:
            with get_local_path(self.headbox_file) as path:
                shape = loadmat(path)["headboxes_src"].shape
        except FileNotFoundError as error:
            raise MissingFileError(
                f"The file of head boxes {self.headbox_file} does not exist: correct headbox_file in the config."
            ) from error
        except Exception as error:  # SciPy has many
            raise UserError(
                f"{self.headbox_file}: the file must be a .mat file with headboxes_src, but reading it fails with "
                f"'{error}': download or copy it again."
            ) from error
        if shape != (2, 2, num_rows):
            raise UserError(
                f"{self.headbox_file}: headboxes_src must have the shape (2, 2, {num_rows}), one box for each row of "
                f"{self.ann_file}, but has {shape}: use the two files of one download."
            )

    def _log(self, report: AnnotationReport, num_rows: int, num_samples: int, missing: int) -> None:
        """Log the counts of faults, and how many persons are used."""
        for severity, outcome in ((SKIPPED, "left out"), (WARNING, "used")):
            for group in group_findings(f for f in report.findings if f.severity == severity):
                print_log(f"{self.ann_file}: {outcome}: {group}", logger="current", level=logging.WARNING)
        images = f", {missing} images are missing" if missing else ""
        print_log(
            f"{self.ann_file}: {num_samples} of {num_rows} persons are used, {len(report.skipped_rows)} faulty rows "
            f"are left out{images}",
            logger="current",
            level=logging.WARNING if report.skipped_rows or missing else logging.INFO,
        )


@contextmanager
def _parsed(content: list) -> Generator[None, None, None]:
    """Let MMPose use the checked content in place of the file."""
    before = mpii_dataset.json
    mpii_dataset.json = SimpleNamespace(load=lambda _: content)
    try:
        yield
    finally:
        mpii_dataset.json = before

"""The submission file for COCO's evaluation server."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from mmengine.logging import print_log
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS
from xtcocotools.coco import COCO

from ..errors import UserError


@METRICS.register_module()
class CocoSubmission(CocoMetric):
    """Write predictions for COCO's keypoint evaluation server; no metric is computed.

    ``CocoMetric(format_only=True)`` uses another file name than the server needs. It also writes boxes, from which
    COCO's tools then compute the areas of the instances. This class writes
    ``person_keypoints_[split]_[algorithm]_results.json`` and a zip file of it for the upload. Each instance has
    image_id, category_id, keypoints (17 x (x, y, score), in pixels, rounded to 0.01) and score. Scores and NMS are
    those of ``CocoMetric``.

    Source: COCO's pages on the format and the upload of results.

    Args:
        split: COCO's name of the predicted split. Defaults to ``"test-dev2017"``.
        algorithm: Name of the method: letters, digits, ``-`` and ``_``. Defaults to ``"tfpose"``.
        folder: Folder for both files; files of an earlier run are replaced. Defaults to
            ``"work_dirs/coco_submission"``.
        **kwargs: Arguments of ``CocoMetric`` for scores and NMS.

    Raises:
        UserError: If the name of the method has other characters, because it becomes part of the file name.
    """

    def __init__(
        self,
        split: str = "test-dev2017",
        algorithm: str = "tfpose",
        folder: str = "work_dirs/coco_submission",
        **kwargs: str | float,
    ) -> None:
        if not re.fullmatch(r"[\w-]+", algorithm):
            raise UserError(
                f"CocoSubmission needs an algorithm of letters, digits, '-' and '_', but got {algorithm!r}: it becomes "
                "part of a file name."
            )
        name = f"person_keypoints_{split}_{algorithm}_results"
        super().__init__(format_only=True, outfile_prefix=str(Path(folder) / name), **kwargs)
        self.coco = COCO()  # without it, CocoMetric would collect annotations, which test-dev does not have

    def results2json(self, keypoints: dict[int, list[dict]], outfile_prefix: str) -> None:
        """Write the json and the zip file.

        Args:
            keypoints: The instances of each image, each with keypoints (17, 3), category_id and score.
            outfile_prefix: Path of both files without their extension.
        """
        people = [
            dict(
                image_id=int(image_id),
                category_id=int(person["category_id"]),
                keypoints=[round(float(value), 2) for value in person["keypoints"].reshape(-1)],
                score=float(person["score"]),
            )
            for image_id, image in keypoints.items()
            for person in image
        ]
        prefix = Path(outfile_prefix)
        prefix.parent.mkdir(parents=True, exist_ok=True)
        results = prefix.parent / f"{prefix.name}.json"
        results.write_text(json.dumps(people), encoding="utf-8")
        with zipfile.ZipFile(prefix.parent / f"{prefix.name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(results, results.name)
        print_log(f"Wrote {len(people)} instances to {results}: upload the zip file in the same folder.", "current")

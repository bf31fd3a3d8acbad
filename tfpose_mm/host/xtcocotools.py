"""Stands in for xtcocotools where it is not installed: it does not build on Python 3.13, and MMPose imports it.

xtcocotools is pycocotools with sigmas, boxes in place of areas, whole-body and CrowdPose evaluation. Here it is built
on pycocotools, which MMDetection needs anyway. All scores are equal, except that CrowdPose evaluation is refused.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import pycocotools.mask

# iouType: the lists of an annotation that are joined to one list of keypoints
PARTS = {
    "keypoints": ("keypoints",),
    "keypoints_wholebody": ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts"),
    "keypoints_foot": ("foot_kpts",),
    "keypoints_face": ("face_kpts",),
    "keypoints_lefthand": ("lefthand_kpts",),
    "keypoints_righthand": ("righthand_kpts",),
}
BOX_AREA = 0.53  # area of an instance as a fraction of its box, where its own is not given or not used


class COCO(pycocotools.coco.COCO):
    """``xtcocotools.coco.COCO``, as MMPose uses it."""

    def __init__(self, annotation_file: str | None = None) -> None:
        super().__init__(annotation_file)
        for annotation in self.dataset.get("annotations", []):
            annotation.setdefault("iscrowd", False)

    def loadRes(self, resFile: str | list[dict[str, Any]]) -> pycocotools.coco.COCO:
        """Load results, a path or their content, also an empty list, which pycocotools does not accept."""
        results = json.loads(Path(resFile).read_text(encoding="utf-8")) if isinstance(resFile, str) else resFile
        if results:
            return super().loadRes(results)
        empty = COCO()
        empty.dataset = {"images": list(self.dataset["images"]), "annotations": []}
        empty.createIndex()
        return empty


class COCOeval(pycocotools.cocoeval.COCOeval):
    """``xtcocotools.cocoeval.COCOeval`` for keypoints.

    ``iouType`` is a key of ``PARTS``, ``"bbox"`` or ``"segm"``; ``sigmas`` are those of OKS, (K,), or None.
    Without ``use_area`` the area in OKS is 0.53 of the box.
    """

    def __init__(
        self,
        cocoGt: COCO | None = None,
        cocoDt: pycocotools.coco.COCO | None = None,
        iouType: str = "keypoints",
        sigmas: np.ndarray | None = None,
        use_area: bool = True,
    ) -> None:
        if iouType == "keypoints_crowd":
            raise NotImplementedError(
                "CrowdPose evaluation needs xtcocotools, which does not build on Python 3.13: use Python 3.12 and "
                "'pip install --no-binary xtcocotools xtcocotools==1.14.3'"
            )
        super().__init__(cocoGt, cocoDt, "keypoints" if iouType in PARTS else iouType)
        self.part = iouType
        self.use_area = use_area
        if sigmas is not None:
            self.params.kpt_oks_sigmas = np.asarray(sigmas)

    def _prepare(self) -> None:
        if self.part not in PARTS:
            super()._prepare()
            return
        self._gts, self._dts, self.evalImgs, self.eval = defaultdict(list), defaultdict(list), defaultdict(list), {}
        for number, truth in enumerate(self._chosen(self.cocoGt), start=1):
            joined = {**self._truth(truth), "id": number}  # pycocotools takes an id of 0 for "not matched"
            self._gts[truth["image_id"], truth["category_id"]].append(joined)
        for result in self._chosen(self.cocoDt):
            joined = self._result(result)
            if _count(joined["keypoints"]):  # those with scores of 0 only do not count
                self._dts[result["image_id"], result["category_id"]].append(joined)

    def _chosen(self, coco: pycocotools.coco.COCO) -> list[dict[str, Any]]:
        categories = self.params.catIds if self.params.useCats else []
        return coco.loadAnns(coco.getAnnIds(imgIds=self.params.imgIds, catIds=categories))

    def _truth(self, truth: dict[str, Any]) -> dict[str, Any]:
        keypoints = _join(truth, self.part)
        joined = {**truth, "keypoints": keypoints, "num_keypoints": _count(keypoints)}
        joined["ignore"] = joined["num_keypoints"] == 0 or bool(truth.get("iscrowd"))
        if not self.use_area:
            joined["area"] = truth["bbox"][2] * truth["bbox"][3] * BOX_AREA
        return joined

    def _result(self, result: dict[str, Any]) -> dict[str, Any]:
        score = result.get(f"{self.part.partition('_')[2]}_score", result["score"])
        return {**result, "keypoints": _join(result, self.part), "score": score}


def _join(annotation: dict[str, Any], part: str) -> list[float]:
    return [value for name in PARTS[part] for value in annotation[name]]


def _count(keypoints: list[float]) -> int:
    return int(np.count_nonzero(np.asarray(keypoints[2::3]) > 0))


def stand_in() -> bool:
    """Make ``import xtcocotools`` find this module, if the real package is not there; whether that was needed."""
    if "xtcocotools" in sys.modules or importlib.util.find_spec("xtcocotools"):
        return False
    package = ModuleType("xtcocotools", __doc__)
    package.__path__ = []
    contents = {"coco": {"COCO": COCO}, "cocoeval": {"COCOeval": COCOeval}, "mask": vars(pycocotools.mask)}
    sys.modules["xtcocotools"] = package
    for name, content in contents.items():
        module = ModuleType(f"xtcocotools.{name}")
        vars(module).update({key: value for key, value in content.items() if not key.startswith("__")})
        sys.modules[module.__name__] = module
        setattr(package, name, module)
    return True

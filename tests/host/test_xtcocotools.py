"""The stand-in for xtcocotools has the scores of the real package, which are written here."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pycocotools.mask
import pytest
import xtcocotools
from mmpose.evaluation.metrics import CocoMetric
from xtcocotools.coco import COCO as InstalledCOCO
from xtcocotools.cocoeval import COCOeval as InstalledCOCOeval

from tfpose_mm.host.xtcocotools import COCO, COCOeval, stand_in

PARTS = {"foot": 3, "face": 4, "lefthand": 2, "righthand": 2}
IS_REAL = InstalledCOCO is not COCO
NUM_BODY = 5
WHOLE = np.linspace(0.03, 0.1, NUM_BODY + sum(PARTS.values()))
SIGMAS = dict(keypoints=np.linspace(0.03, 0.1, NUM_BODY), keypoints_wholebody=WHOLE)
SIGMAS.update((f"keypoints_{part}", WHOLE[:count]) for part, count in PARTS.items())


def make_data():
    """Annotations and results with crowds, instances without labels, an id of 0, scores of 0."""
    rng = np.random.default_rng(5)
    images = [dict(id=number, width=400, height=300) for number in range(6)]
    annotations, results = [], []
    for number in range(24):
        width, height = rng.uniform(20, 200, 2)
        box = [*rng.uniform(0, 100, 2), width, height]
        truth = dict(id=number, image_id=number % 6, category_id=1 + number % 2, bbox=box, area=width * height * 0.6)
        result = dict(image_id=truth["image_id"], category_id=truth["category_id"], score=rng.uniform())
        for part, count in {"": NUM_BODY, **PARTS}.items():
            points = np.array(box[:2]) + rng.uniform(0, 1, (count, 2)) * box[2:]
            visible = rng.integers(0, 3, (count, 1)) * (number % 7 != 3)
            key = f"{part}_kpts" if part else "keypoints"
            truth[key] = np.hstack([points, visible]).ravel().tolist()
            moved = points + rng.normal(0, 0.05, (count, 2)) * box[2:]
            scores = rng.uniform(0.1, 1, (count, 1)) * (number % 5 != 4)
            result[key] = np.hstack([moved, scores]).ravel().tolist()
            result[f"{part}_score" if part else "score"] = rng.uniform()
        if number % 8 == 5:
            truth["iscrowd"] = 1
        if number % 9 == 2:
            del result["lefthand_score"]
        annotations.append(truth)
        results.append(result)
    results += [dict(result, score=0.5 * result["score"]) for result in results[:5]]
    categories = [dict(id=1, name="one"), dict(id=2, name="two")]
    return dict(images=images, annotations=annotations, categories=categories), results


def evaluate(folder, coco_class, eval_class, part="keypoints", use_area=True):
    data, results = make_data()
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "results.json").write_text(json.dumps(results))
    coco = coco_class(str(folder / "data.json"))
    evaluation = eval_class(coco, coco.loadRes(str(folder / "results.json")), part, SIGMAS[part], use_area)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


# computed with xtcocotools 1.14.3, numpy 1.26
EXPECTED = {
    ("keypoints", True): "0.23197135785 0.469925742574 0.1885902876 0.179777227723 0.515099009901"
    " 0.337857142857 0.614285714286 0.321428571429 0.25 0.7125",
    ("keypoints", False): "0.219918277542 0.42200220022 0.124233851957 0.205186232909 0.533663366337"
    " 0.318571428571 0.542857142857 0.271428571429 0.313095238095 0.566666666667",
    ("keypoints_wholebody", True): "0.263872458674 0.686206120612 0.112918434701 0.235206270627 0.515099009901"
    " 0.353896103896 0.766233766234 0.253246753247 0.298571428571 0.6375",
    ("keypoints_wholebody", False): "0.229884952781 0.686206120612 0.112093352192 0.22801980198 0.472277227723"
    " 0.311688311688 0.766233766234 0.253246753247 0.3125 0.5",
    ("keypoints_foot", True): "0.066886688669 0.300330033003 0.0 0.097524752475 0.108415841584"
    " 0.135 0.483333333333 0.0 0.167857142857 0.116666666667",
    ("keypoints_face", True): "0.060664780764 0.231400282885 0.016501650165 0.058085808581 0.260940594059"
    " 0.109090909091 0.37012987013 0.045454545455 0.058571428571 0.3125",
    ("keypoints_lefthand", True): "0.112269084051 0.28012086923 0.071310702499 0.160891089109 0.39801980198"
    " 0.217424242424 0.401515151515 0.174242424242 0.171428571429 0.4875",
    ("keypoints_righthand", True): "0.102862714843 0.260756075608 0.075607560756 0.123363979255 0.190099009901"
    " 0.229545454545 0.431818181818 0.181818181818 0.280357142857 0.1875",
}


@pytest.mark.parametrize(("part", "use_area"), EXPECTED)
def test_scores_are_those_of_the_real_package(tmp_path, part, use_area):
    stats = evaluate(tmp_path, COCO, COCOeval, part, use_area)
    np.testing.assert_allclose(stats, np.array(EXPECTED[part, use_area].split(), float), rtol=0, atol=1e-9)
    if IS_REAL:
        assert stats.tolist() == evaluate(tmp_path, InstalledCOCO, InstalledCOCOeval, part, use_area).tolist()


def test_no_results_and_unchanged_data(tmp_path):
    data, found = make_data()
    (tmp_path / "data.json").write_text(json.dumps(data))
    coco = COCO(str(tmp_path / "data.json"))
    for results in (found, []):
        evaluation = COCOeval(coco, coco.loadRes(results), sigmas=SIGMAS["keypoints"], use_area=False)
        evaluation.evaluate()
    for found, expected in zip(coco.dataset["annotations"], data["annotations"]):
        assert found == {"iscrowd": False, **expected}
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 0


def test_crowdpose_is_refused_in_a_sentence():
    with pytest.raises(NotImplementedError, match="CrowdPose evaluation needs xtcocotools"):
        COCOeval(COCO(), COCO(), "keypoints_crowd")


@pytest.mark.slow
def test_it_is_used_only_where_the_real_package_is_missing():
    """In a process without the package: on other Pythons it is hidden."""
    code = """
import importlib.metadata, importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "xtcocotools" else find_spec(name, *rest)
import tfpose_mm
from tfpose_mm.host.xtcocotools import COCO, stand_in
assert not stand_in()
import xtcocotools.mask
from xtcocotools.coco import COCO as found
from xtcocotools.cocoeval import COCOeval
import pycocotools.mask
assert found is COCO and xtcocotools.mask.decode is pycocotools.mask.decode
import mmpose.datasets, mmpose.evaluation
assert mmpose.evaluation.metrics.coco_metric.COCO is COCO
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    assert not stand_in()  # here it is there already


def test_mmpose_uses_it_or_the_real_package():
    assert CocoMetric.__init__.__globals__["COCOeval"] is InstalledCOCOeval
    assert xtcocotools.mask.decode is pycocotools.mask.decode or IS_REAL

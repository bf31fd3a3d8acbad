"""Errors of keypoints: against COCO's and MMPose's own code, and kinds computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from tests.helpers.models import flip_indices
from tfpose_mm.evaluation import ERROR_KINDS, EvaluatedPerson, analyse_errors, keypoint_similarity

K = 5
FLIP = flip_indices(K)  # 0; 1 and 2; 3 and 4
SIGMAS = np.array([0.03, 0.05, 0.05, 0.08, 0.08])
AREA = 6000.0
TARGET = np.array([[50.0, 20.0], [20.0, 60.0], [80.0, 60.0], [30.0, 150.0], [70.0, 150.0]])


def person(keypoints, target=TARGET, labelled=(True,) * K, image_id=1):
    box = np.array([10.0, 10.0, 90.0, 170.0])
    return EvaluatedPerson(
        "a.jpg", image_id, 1, np.asarray(keypoints, float), np.asarray(target), np.array(labelled), box, AREA
    )


def distance_of(similarity, index):
    """Distance that gives a keypoint this similarity."""
    return float(np.sqrt(-2 * np.log(similarity) * AREA) * 2 * SIGMAS[index])


def kinds_of(*persons):
    kinds = analyse_errors(persons, FLIP, SIGMAS).kinds[0]
    return [ERROR_KINDS[kind] if kind >= 0 else None for kind in kinds]


def test_the_similarity_decides_between_good_jitter_and_miss():
    for similarity, kind in ((0.86, "good"), (0.84, "jitter"), (0.51, "jitter"), (0.49, "miss")):
        moved = TARGET + [[0.0, -distance_of(similarity, index)] for index in range(K)]
        np.testing.assert_allclose(keypoint_similarity(moved, TARGET, AREA, SIGMAS), similarity, atol=1e-9)
        assert kinds_of(person(moved)) == [kind] * K


def test_a_keypoint_on_its_counterpart_is_an_inversion():
    points = TARGET.copy()
    points[1] = TARGET[2] + 1
    assert kinds_of(person(points)) == ["good", "inversion", "good", "good", "good"]
    hidden = person(points, labelled=(True, True, False, True, True))  # the counterpart is not annotated
    assert kinds_of(hidden) == ["good", "miss", None, "good", "good"]


def test_a_keypoint_on_another_person_is_a_swap():
    other = TARGET + np.array([200.0, 0.0])
    points = TARGET.copy()
    points[0], points[1], points[3] = other[0], other[2], [400.0, 400.0]  # also its counterpart
    assert kinds_of(person(points), person(other, other)) == ["swap", "swap", "good", "miss", "good"]
    elsewhere = person(other, other, image_id=2)
    assert kinds_of(person(points), elsewhere) == ["miss", "miss", "good", "miss", "good"]
    assert kinds_of(person(TARGET), person(TARGET)) == ["good"] * K  # the annotation wins a tie


def test_similarity_is_coco_s():
    rng = np.random.default_rng(0)
    one = person(TARGET + rng.normal(0, 6, (K, 2)), labelled=(True, True, False, True, True))
    truth, found = np.column_stack([one.target, 2.0 * one.labelled]), np.column_stack([one.keypoints, np.ones(K)])
    annotation = dict(id=1, image_id=0, category_id=1, area=AREA, bbox=[10.0, 10.0, 80.0, 160.0], iscrowd=0)
    annotation.update(keypoints=truth.ravel().tolist(), num_keypoints=4)
    coco = COCO()
    coco.dataset = dict(images=[dict(id=0)], annotations=[annotation], categories=[dict(id=1)])
    coco.createIndex()
    results = coco.loadRes([dict(image_id=0, category_id=1, keypoints=found.ravel().tolist(), score=1.0)])
    evaluation = COCOeval(coco, results, "keypoints", SIGMAS)
    evaluation._prepare()
    errors = analyse_errors([one], FLIP, SIGMAS)
    assert errors.oks[0] == pytest.approx(evaluation.computeOks(0, 1)[0, 0], abs=1e-6)


def test_what_is_never_annotated_is_nan():
    errors = analyse_errors([person(TARGET, labelled=(False,) * K)], FLIP, SIGMAS)
    assert np.isnan([errors.distance, errors.similarity]).all()
    assert (errors.kinds == -1).all()
    assert np.isnan([errors.oks, errors.mean_distance]).all()

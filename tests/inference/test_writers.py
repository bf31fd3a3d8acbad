from __future__ import annotations

import json

import numpy as np
import pytest
from mmpose.evaluation.metrics import CocoMetric

from tests.inference.test_tracking import prediction
from tfpose_mm.inference.writers import COCO, PredictionWriter, coco_results

K = 5
META = dict(dataset_name="five", num_keypoints=K, sigmas=np.full(K, 0.05, np.float32))


def persons(number, name="a.jpg", index=0, seed=0):
    """A prediction of random persons, the last with the best box."""
    generator = np.random.default_rng(seed)
    boxes = [[10 * n, 5, 10 * n + 40, 85.5] for n in range(number)]
    entry = prediction(boxes, index, name, generator.uniform(0, 80, (number, K, 2)))
    entry.keypoint_scores = generator.uniform(0, 1, (number, K))
    entry.box_scores, entry.areas = np.linspace(0.5, 1, number), np.full(number, 40 * 80.5 * 1.25**2)
    entry.category_ids = list(range(1, number + 1))
    return entry


def test_files(tmp_path):
    predictions = [persons(2, "b/a.jpg"), persons(0, "c.jpg"), persons(1, "d.mp4"), persons(1, "d.mp4", 1)]
    predictions[0].track_ids, predictions[3].image_id = np.array([4, 9]), 77
    writer = PredictionWriter(tmp_path / "out", META, {})
    for entry in predictions:
        writer.write(entry)
    writer.close()
    content = json.loads((tmp_path / "out/predictions.json").read_text())
    assert content["meta_info"]["num_keypoints"] == K
    records = content["instance_info"]
    listed = [(record["image"], record["frame_id"], len(record["instances"])) for record in records]
    assert listed == [("b/a.jpg", 0, 2), ("c.jpg", 0, 0), ("d.mp4", 0, 1), ("d.mp4", 1, 1)]
    person = records[0]["instances"][1]
    assert person["bbox"] == [10, 5, 50, 85.5]  # MMPose's own files nest it by mistake
    assert person["track_id"] == 9
    np.testing.assert_allclose(person["keypoints"], predictions[0].keypoints[1], atol=1e-5)
    results = json.loads((tmp_path / "out/results.json").read_text())
    listed = [tuple(entry[name] for name in ("image_id", "file_name", "frame", "category_id")) for entry in results]
    best_first = [(1, "b/a.jpg", 0, 2), (1, "b/a.jpg", 0, 1)]
    assert listed == [*best_first, (3, "d.mp4", 0, 1), (77, "d.mp4", 1, 1)]
    assert results[0]["bbox"][2:] == [40, 80.5]


@pytest.mark.parametrize(
    ("seed", "coco"),
    [
        (0, {}),
        (1, {}),
        (0, dict(score_mode="bbox_rle", nms_mode="soft_oks_nms")),
        (0, dict(score_mode="keypoint", nms_mode="none")),
        (0, dict(score_mode="bbox", nms_thr=0.5)),
        (0, dict(keypoint_score_thr=0.6)),
    ],
)
def test_scores_and_nms_are_those_of_mmpose(seed, coco, tmp_path):
    """Persons 1 and 3 are copies of 0 with small changes: the NMS removes some; without sigmas all are kept."""
    entry = persons(5, seed=seed)
    entry.keypoints[1], entry.keypoints[3] = entry.keypoints[0] + 0.5, entry.keypoints[0] + 4
    entry.keypoint_scores[4] = 0.1
    ours = coco_results(entry, 6, META["sigmas"], **{**COCO, **coco})
    assert len(coco_results(entry, 6, [], **COCO)) == 5

    metric = CocoMetric(format_only=True, outfile_prefix=str(tmp_path / "theirs"), **coco)
    metric.dataset_meta, metric.coco = META, object()
    samples = [
        dict(
            id=row,
            img_id=6,
            pred_instances=dict(keypoints=entry.keypoints[[row]], keypoint_scores=entry.keypoint_scores[[row]]),
            gt_instances=dict(bbox_scores=entry.box_scores[[row]], bbox_scales=np.array([[1.0, entry.areas[row]]])),
        )
        for row in range(5)
    ]
    metric.process([], samples)
    metric.compute_metrics(metric.results)
    theirs = json.loads((tmp_path / "theirs.keypoints.json").read_text())
    assert len(theirs) > 2
    assert (len(theirs) < 5) == (coco.get("nms_mode", "oks_nms") == "oks_nms")
    assert len(ours) == len(theirs)
    for first, second in zip(ours, theirs):
        assert first["score"] == pytest.approx(second["score"])
        np.testing.assert_allclose(first["keypoints"], second["keypoints"], atol=1e-5)

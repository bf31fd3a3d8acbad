from __future__ import annotations

import json

import numpy as np
import pytest
from mmpose.evaluation.metrics import CocoMetric

from tfpose_mm.inference import Prediction
from tfpose_mm.inference.writers import PredictionWriter, coco_results

K = 5
META = dict(
    dataset_name="five",
    num_keypoints=K,
    keypoint_id2name={index: f"joint{index}" for index in range(K)},
    sigmas=np.full(K, 0.05, np.float32),
    keypoint_colors=np.zeros((K, 3), np.uint8),
)


def prediction(persons, name="a.jpg", index=0, track_ids=None, image_id=None, seed=0):
    generator = np.random.default_rng(seed)
    boxes = np.array([[10 * n, 5, 10 * n + 40, 85.5] for n in range(persons)]).reshape(persons, 4)
    return Prediction(
        name,
        index,
        (99, 88),
        generator.uniform(0, 80, (persons, K, 2)),
        generator.uniform(0, 1, (persons, K)),
        boxes,
        np.linspace(0.5, 1, persons),
        np.full(persons, 40 * 80.5 * 1.25**2),
        list(range(1, persons + 1)),
        image_id=image_id,
        track_ids=track_ids,
    )


def test_without_sigmas_all_persons_are_kept(tmp_path):
    twice = prediction(2)
    twice.keypoints[1], twice.boxes[1] = twice.keypoints[0], twice.boxes[0]
    assert len(coco_results(twice, 1, META["sigmas"], 0.2, 0.9)) == 1
    assert len(coco_results(twice, 1, [], 0.2, 0.9)) == 2


def test_files(tmp_path):
    predictions = [
        prediction(2, "b/a.jpg", track_ids=np.array([4, 9])),
        prediction(0, "c.jpg"),
        prediction(1, "d.mp4", 0),
        prediction(1, "d.mp4", 1, image_id=77),
    ]
    writer = PredictionWriter(tmp_path / "out", META, {})
    for entry in predictions:
        writer.write(entry)
    writer.close()
    content = json.loads((tmp_path / "out/predictions.json").read_text())
    assert content["meta_info"]["keypoint_id2name"]["0"] == "joint0"
    records = content["instance_info"]
    assert [(record["image"], record["frame_id"], len(record["instances"])) for record in records] == [
        ("b/a.jpg", 0, 2),
        ("c.jpg", 0, 0),
        ("d.mp4", 0, 1),
        ("d.mp4", 1, 1),
    ]
    person = records[0]["instances"][1]
    assert person["bbox"] == [10, 5, 50, 85.5]  # MMPose's own files nest it by mistake
    assert person["track_id"] == 9
    np.testing.assert_allclose(person["keypoints"], predictions[0].keypoints[1], atol=1e-5)

    results = json.loads((tmp_path / "out/results.json").read_text())
    assert [entry["image_id"] for entry in results] == [1, 1, 3, 77]
    assert results[0]["bbox"][2:] == [40, 80.5]
    assert [entry["category_id"] for entry in results] == [2, 1, 1, 1]  # the best person first


@pytest.mark.parametrize("seed", [0, 1])
def test_scores_and_nms_are_those_of_mmpose(seed, tmp_path):
    """Persons 1 and 3 are copies of 0 with small changes: the NMS removes some."""
    entry = prediction(5, seed=seed)
    entry.keypoints[1] = entry.keypoints[0] + 0.5
    entry.keypoints[3] = entry.keypoints[0] + 4
    entry.keypoint_scores[4] = 0.1
    ours = coco_results(entry, 6, META["sigmas"], keypoint_score_thr=0.2, nms_thr=0.9)

    metric = CocoMetric(format_only=True, outfile_prefix=str(tmp_path / "theirs"))
    metric.dataset_meta = META
    metric.coco = object()
    samples = [
        dict(
            id=row,
            img_id=6,
            pred_instances=dict(
                keypoints=entry.keypoints[row : row + 1], keypoint_scores=entry.keypoint_scores[row : row + 1]
            ),
            gt_instances=dict(
                bbox_scores=entry.box_scores[row : row + 1], bbox_scales=np.array([[1.0, entry.areas[row]]])
            ),
        )
        for row in range(5)
    ]
    metric.process([], samples)
    metric.compute_metrics(metric.results)
    theirs = json.loads((tmp_path / "theirs.keypoints.json").read_text())
    assert 2 < len(theirs) < 5
    assert len(ours) == len(theirs)
    for first, second in zip(ours, theirs):
        assert first["score"] == pytest.approx(second["score"])
        np.testing.assert_allclose(first["keypoints"], second["keypoints"], atol=1e-5)

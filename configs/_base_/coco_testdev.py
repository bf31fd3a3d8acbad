# COCO test-dev2017: no annotations, so that testing writes what the evaluation server takes. The leaf joins it.
testdev = dict(
    dataset=dict(
        ann_file="annotations/image_info_test-dev2017.json",
        data_prefix=dict(img="test2017/"),
    ),
    boxes="person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json",
    evaluator=dict(type="CocoSubmission", split="test-dev2017", algorithm="tfpose"),
)

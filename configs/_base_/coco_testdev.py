# COCO test-dev2017, which has no public annotations: testing writes what the evaluation server accepts.
# The *_testdev.py configs use these values in their test dataloader and evaluator.
testdev = dict(
    dataset=dict(
        ann_file="annotations/image_info_test-dev2017.json",
        data_prefix=dict(img="test2017/"),
    ),
    boxes="person_detection_results/COCO_test-dev2017_detections_AP_H_609_person.json",
    evaluator=dict(type="CocoSubmission", split="test-dev2017", algorithm="tfpose"),
)

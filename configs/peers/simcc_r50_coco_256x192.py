# SimCC with the backbone, data, augmentation and schedule of the main config.
# All else is MMPose's.
_base_ = "mmpose::body_2d_keypoint/simcc/coco/simcc_res50_8xb64-210e_coco-256x192.py"

custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading"], allow_failed_imports=False)

data_root = "{{$COCO_ROOT:data/coco}}"  # the environment variable COCO_ROOT overrides it
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="RandomFlip", direction="horizontal"),
    dict(type="RandomHalfBody"),
    dict(type="RandomBBoxTransform", shift_prob=0.0, scale_factor=(0.5, 1.5), rotate_factor=40.0),
    dict(type="TopdownAffine", input_size=_base_.codec.input_size),
    dict(type="GenerateTarget", encoder=_base_.codec),
    dict(type="PackPoseInputs"),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        bbox_file=f"{data_root}/person_detection_results/COCO_val2017_detections_AP_H_56_person.json",
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f"{data_root}/annotations/person_keypoints_val2017.json")
test_evaluator = val_evaluator

param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=500, by_epoch=False),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
]

# COCO keypoints at 256x192: codec, pipelines, dataloaders, evaluators.
dataset_type = "CheckedCocoDataset"
data_mode = "topdown"
data_root = "{{$COCO_ROOT:data/coco}}"  # the environment variable COCO_ROOT overrides it

codec = dict(type="TFPoseLabel", input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

# Augmentation of section 4.1: rotation +-40 degrees, scale 0.5 to 1.5, flip, half body. Affine transforms as in UDP.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="RandomFlip", direction="horizontal"),
    dict(type="RandomHalfBody"),
    dict(type="RandomBBoxTransform", shift_prob=0.0, scale_factor=(0.5, 1.5), rotate_factor=40.0),
    dict(type="TopdownAffine", input_size=codec["input_size"], use_udp=True),
    dict(type="GenerateTarget", encoder=codec),
    dict(type="PackPoseInputs"),
]
val_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="TopdownAffine", input_size=codec["input_size"], use_udp=True),
    dict(type="PackPoseInputs"),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=False,  # EpochSeedHook needs workers that start anew in each epoch
    worker_init_fn=dict(type="init_worker"),
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file="annotations/person_keypoints_train2017.json",
        data_prefix=dict(img="train2017/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    worker_init_fn=dict(type="init_worker"),
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_mode=data_mode,
        ann_file="annotations/person_keypoints_val2017.json",
        bbox_file=f"{data_root}/person_detection_results/COCO_val2017_detections_AP_H_56_person.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="CocoMetric")  # reads the annotation file of the dataloader's dataset
test_evaluator = val_evaluator

# TFPose with ResNet-50 on COCO, 6 encoder and 6 decoder layers (Tables 5 and 6): the main config.
# Delete the next line, or inherit mmpose::_base_/default_runtime.py, to train without the protection in this file.
_base_ = "_base_/protection.py"

# runtime
default_scope = "mmpose"
custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading"], allow_failed_imports=False)
train_cfg = dict(by_epoch=True, max_epochs=210, val_interval=10)
val_cfg = dict()
test_cfg = dict()

# optimizer (section 4.1)
# The paper does not give batch size, epochs and warm-up: these are the values of MMPose's regression configs on COCO (8
# GPUs x 64 images, 210 epochs, 500 iterations).
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={"transformer_": dict(lr_mult=0.1)}),  # belongs to neck and head, see below
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=500, by_epoch=False),  # warm-up
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),  # over all of max_epochs
]
auto_scale_lr = dict(base_batch_size=512)

# codec settings
codec = dict(type="TFPoseLabel", input_size=(192, 256), heatmap_size=(48, 64), sigma=2)

# model settings: C3 to C5 of the backbone
# custom_keys={"transformer_": ...} above belongs to neck and head: copy it with them. The transformer, with the linear
# layers that predict sampling offsets, has a tenth of the learning rate: encoder, decoder, queries, y_0 and level
# embedding are in neck.transformer_encoder and head.transformer_decoder.
model = dict(
    type="TopdownPoseEstimator",
    data_preprocessor=dict(
        type="PoseDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        out_indices=(1, 2, 3),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
    ),
    neck=dict(
        type="DeformableTransformerNeck",
        in_channels=[512, 1024, 2048],
        out_channels=256,
        num_layers=6,
        num_heads=8,
        num_points=4,
        feedforward_channels=1024,
    ),
    head=dict(
        type="TFPoseHead",
        in_channels=256,
        num_joints=17,
        num_levels=3,
        embed_dims=256,
        num_layers=6,
        num_heads=8,
        num_points=4,
        feedforward_channels=1024,
        query_attention=True,
        aux_branch=True,
        loss=dict(type="TFPoseLoss", aux_weight=50.0),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=True, shift_coords=False),  # a flipped label of TFPoseLabel is 1 - x
)

# dataset settings
dataset_type = "CocoDataset"
data_mode = "topdown"
data_root = "{{$COCO_ROOT:data/coco}}"  # the environment variable COCO_ROOT overrides it

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

# hooks
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=10, save_best="auto", rule="greater", max_keep_ckpts=3)
)

# evaluators
val_evaluator = dict(type="CocoMetric")  # reads the annotation file of the dataloader's dataset
test_evaluator = val_evaluator

# A small TFPose on synthetic people: the demo (make demo).
# It trains in minutes on two CPU cores: a narrow ResNet-18, 1 encoder and 2 decoder layers, 64 channels, 16 epochs.
_base_ = "tfpose_r50_coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(96, 128))
model = dict(
    backbone=dict(depth=18, base_channels=16, stem_channels=16, init_cfg=None),
    neck=dict(
        in_channels=[32, 64, 128],
        out_channels=64,
        num_layers=1,
        feedforward_channels=256,
        dropout=0.0,
        norm_cfg=dict(type="GN", num_groups=8),
    ),
    head=dict(
        in_channels=64,
        embed_dims=64,
        num_layers=2,
        feedforward_channels=256,
        dropout=0.0,
        deconv_out_channels=(64, 64, 64),
    ),
)

# These people stand upright and are fully visible, so the augmentation is milder than the paper's.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="GetBBoxCenterScale"),
    dict(type="RandomFlip", direction="horizontal"),
    dict(type="RandomHalfBody", prob=0.0),
    dict(type="RandomBBoxTransform", shift_prob=0.0, scale_factor=(0.8, 1.2), rotate_factor=20.0),
    dict(type="TopdownAffine", input_size=_base_.codec.input_size, use_udp=True),
    dict(type="GenerateTarget", encoder=_base_.codec),
    dict(type="PackPoseInputs"),
]
dataset_type = "CheckedCocoDataset"  # MMPose's CocoDataset with checks of annotations and images
data_root = "{{$SYNTHETIC_ROOT:data/synthetic}}"  # the environment variable SYNTHETIC_ROOT overrides it
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/person_keypoints_train.json",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/person_keypoints_val.json",
        bbox_file=None,
        data_prefix=dict(img="val/"),
    ),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type="CocoMetric"), dict(type="PCKAccuracy", thr=0.2, prefix="PCK@0.2")]
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=16, val_interval=4)
_base_.param_scheduler[0].end = 100
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(checkpoint=dict(interval=1))
randomness = dict(seed=0)

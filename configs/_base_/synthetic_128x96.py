# Synthetic people at 128x96: COCO's keypoints and pipelines.
_base_ = "coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(96, 128))

data_root = "{{$SYNTHETIC_ROOT:data/synthetic}}"  # the environment variable SYNTHETIC_ROOT overrides it
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_train.json",
        data_prefix=dict(img="train/"),
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_val.json",
        bbox_file=None,
        data_prefix=dict(img="val/"),
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type="CocoMetric"), dict(type="PCKAccuracy", thr=0.2, prefix="PCK@0.2")]
test_evaluator = val_evaluator

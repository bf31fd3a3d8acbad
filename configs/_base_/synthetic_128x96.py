# Synthetic people at 128x96: COCO's keypoints and pipelines at another size and place.
_base_ = "coco_256x192.py"

data_root = "{{$SYNTHETIC_ROOT:data/synthetic}}"

codec = dict(type="TFPoseLabel", input_size=(96, 128), heatmap_size=(24, 32), sigma=2)
resized = dict(TopdownAffine=dict(input_size=codec["input_size"]), GenerateTarget=dict(encoder=codec))
train_pipeline = [dict(step, **resized.get(step["type"], {})) for step in _base_.train_pipeline]
val_pipeline = [dict(step, **resized.get(step["type"], {})) for step in _base_.val_pipeline]
del resized

train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_train.json",
        data_prefix=dict(img="train/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/person_keypoints_val.json",
        bbox_file=None,
        data_prefix=dict(img="val/"),
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = [dict(type="CocoMetric"), dict(type="PCKAccuracy", thr=0.2, prefix="PCK@0.2")]
test_evaluator = val_evaluator

# Leeds Sports Pose Extended, 14 joints in COCO's json format, at 256x192: COCO's pipelines, PCK@0.2 of the box, AP.
_base_ = ["coco_256x192.py", "lspet_keypoints.py"]

data_root = "{{$LSPET_ROOT:data/lspet}}"  # the environment variable LSPET_ROOT overrides it
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/lspet_train.json",
        data_prefix=dict(img="images/"),
        metainfo=_base_.metainfo,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file="annotations/lspet_val.json",
        bbox_file=None,
        data_prefix=dict(img="images/"),
        metainfo=_base_.metainfo,
    )
)
test_dataloader = val_dataloader

val_evaluator = [
    dict(type="PCKAccuracy", thr=0.2, prefix="PCK@0.2"),
    dict(type="PCKAccuracy", thr=0.1, prefix="PCK@0.1"),
    dict(type="CocoMetric"),
]
test_evaluator = val_evaluator

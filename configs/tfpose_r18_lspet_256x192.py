# TFPose with ResNet-18 on Leeds Sports Pose Extended: the example to copy for your own data (docs/own_data.md).
# 14 joints in COCO's json format, COCO's pipelines, PCK@0.2 of the box, AP.
_base_ = ["tfpose_r18_coco_256x192.py", "_base_/lspet_keypoints.py"]

model = dict(head=dict(num_joints=14))
dataset_type = "CheckedCocoDataset"  # MMPose's CocoDataset with checks of annotations and images
data_root = "{{$LSPET_ROOT:data/lspet}}"  # the environment variable LSPET_ROOT overrides it
data = dict(type=dataset_type, data_root=data_root, data_prefix=dict(img="images/"), metainfo=_base_.metainfo)
train_dataloader = dict(dataset=dict(data, ann_file="annotations/lspet_train.json"))
val_dataloader = dict(dataset=dict(data, ann_file="annotations/lspet_val.json", bbox_file=None))
test_dataloader = val_dataloader
del data

val_evaluator = [
    dict(type="PCKAccuracy", thr=0.2, prefix="PCK@0.2"),
    dict(type="PCKAccuracy", thr=0.1, prefix="PCK@0.1"),
    dict(type="CocoMetric"),
]
test_evaluator = val_evaluator

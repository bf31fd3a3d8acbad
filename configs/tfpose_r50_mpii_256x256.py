# TFPose with ResNet-50 on MPII, 6 encoder and 6 decoder layers (Table 7).
_base_ = "tfpose_r50_coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(256, 256))
model = dict(head=dict(num_joints=16))
dataset_type = "MpiiDataset"
data_root = "{{$MPII_ROOT:data/mpii}}"  # the environment variable MPII_ROOT overrides it
data = dict(type=dataset_type, data_root=data_root, data_prefix=dict(img="images/"))
train_dataloader = dict(dataset=dict(data, ann_file="annotations/mpii_train.json"))
val_dataloader = dict(
    dataset=dict(
        data,
        ann_file="annotations/mpii_val.json",
        bbox_file=None,
        headbox_file=f"{data_root}/annotations/mpii_gt_val.mat",
    )
)
test_dataloader = val_dataloader
del data

val_evaluator = dict(_delete_=True, type="MpiiPCKAccuracy")  # PCKh@0.5 on mpii_val
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best="PCK"))

# MPII at 256x256: COCO's pipelines, PCKh@0.5 on mpii_val.
_base_ = "coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(256, 256))

dataset_type = "MpiiDataset"
data_root = "{{$MPII_ROOT:data/mpii}}"  # the environment variable MPII_ROOT overrides it
train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/mpii_train.json",
        data_prefix=dict(img="images/"),
    )
)
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file="annotations/mpii_val.json",
        bbox_file=None,
        headbox_file=f"{data_root}/annotations/mpii_gt_val.mat",
        data_prefix=dict(img="images/"),
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(type="MpiiPCKAccuracy")
test_evaluator = val_evaluator

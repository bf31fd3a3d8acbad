# TFPose, ResNet-18, N_E 6, N_D 6 (Table 4, row 2). Not trained on COCO yet; the paper reports 69.5 AP on val2017.
_base_ = "tfpose_r50_coco_256x192.py"

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint="torchvision://resnet18")),
    neck=dict(in_channels=[128, 256, 512]),
)

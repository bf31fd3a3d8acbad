# The main config with ResNet-18 (Table 4, row 2).
_base_ = "tfpose_r50_coco_256x192.py"

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint="torchvision://resnet18")),
    neck=dict(in_channels=[128, 256, 512]),
)

# TFPose with ResNet-18, C3 to C5, 6 encoder and 6 decoder layers.
_base_ = "tfpose_r50.py"

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint="torchvision://resnet18")),
    neck=dict(in_channels=[128, 256, 512]),
)

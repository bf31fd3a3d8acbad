# TFPose with ResNet-18, C3..C5, N_E 6, N_D 6.
_base_ = "tfpose_r50.py"

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint="torchvision://resnet18")),
    neck=dict(in_channels=[128, 256, 512]),
)

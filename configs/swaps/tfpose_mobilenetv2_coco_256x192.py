# TFPose with MobileNetV2: maps of strides 8, 16 and 32.
# The last map is that of layer 7: with layer 6 as output, layer 7 would get no gradient.
_base_ = "../tfpose_r50_coco_256x192.py"

init_cfg = dict(type="Pretrained", checkpoint="mmcls://mobilenet_v2")
model = dict(
    backbone=dict(_delete_=True, type="MobileNetV2", widen_factor=1.0, out_indices=(2, 4, 7), init_cfg=init_cfg),
    neck=dict(in_channels=[32, 96, 1280]),
)
del init_cfg

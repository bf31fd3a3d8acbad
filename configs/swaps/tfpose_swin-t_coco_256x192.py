# TFPose with Swin-T: maps of strides 8, 16 and 32.
# The backbone is that of MMPose's own config.
_base_ = "../tfpose_r50_coco_256x192.py"
from mmengine.hub import get_config

swin = get_config("mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_swin-t-p4-w7_8xb32-210e_coco-256x192.py")
model = dict(
    backbone=dict(swin.model.backbone, _delete_=True, out_indices=(1, 2, 3)),
    neck=dict(in_channels=[192, 384, 768]),
)
del swin

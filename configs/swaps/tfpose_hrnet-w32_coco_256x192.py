# TFPose with HRNet-W32: its four maps, strides 4 to 32, no encoder.
# The backbone is that of MMPose's own config. The ablations on C2 to C5 have no encoder either.
_base_ = "../tfpose_r50_coco_256x192.py"
from mmengine.hub import get_config

hrnet = get_config("mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py")
hrnet.model.backbone.extra.stage4.multiscale_output = True
model = dict(
    backbone=dict(_delete_=True, **hrnet.model.backbone),
    neck=dict(in_channels=[32, 64, 128, 256], num_layers=0),
    head=dict(in_channels=[256] * 4),
)
del hrnet

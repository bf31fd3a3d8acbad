# TFPose on HRNet-W32's four maps, strides 4 to 32, with the backbone of MMPose's own config; N_E 0, as on C2..C5.
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

# Two-stage TFPose with CSPNeXt-m, the backbone of RTMPose-m, on COCO: not trained on COCO. It is not in the paper.
# The backbone is that of MMPose's own config, with BN. Its weights were trained on the keypoints of AIC and COCO.
_base_ = "tfpose_two-stage_r50_coco_256x192.py"
from mmengine.hub import get_config

rtmpose = get_config("mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-m_8xb256-420e_coco-256x192.py")
model = dict(
    backbone=dict(rtmpose.model.backbone, _delete_=True, out_indices=(2, 3, 4), norm_cfg=dict(type="BN")),
    neck=dict(in_channels=[192, 384, 768]),
)
del rtmpose

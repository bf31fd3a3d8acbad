# TFPose's deformable neck with the heat-map head of SimpleBaseline (ResNet-50).
_base_ = "../tfpose_r50_coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, type="UDPHeatmap", input_size=(192, 256), heatmap_size=(48, 64), sigma=2)
loss = dict(type="KeypointMSELoss", use_target_weight=True)
model = dict(
    head=dict(_delete_=True, type="HeatmapHead", in_channels=256, out_channels=17, loss=loss, decoder=_base_.codec),
    test_cfg=dict(_delete_=True, flip_test=True, flip_mode="heatmap", shift_heatmap=False),
)
del loss

# TFPose's deformable neck with the regression head of RLE, after global average pooling (ResNet-50).
_base_ = "../tfpose_r50_coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, type="RegressionLabel", input_size=(192, 256))
loss = dict(type="RLELoss", use_target_weight=True)
necks = [_base_.model.pop("neck"), dict(type="GlobalAveragePooling")]
model = dict(
    neck=dict(type="SequentialNeck", necks=necks),
    head=dict(_delete_=True, type="RLEHead", in_channels=256, num_joints=17, loss=loss, decoder=_base_.codec),
    test_cfg=dict(_delete_=True, flip_test=True, shift_coords=True),
)
del loss, necks

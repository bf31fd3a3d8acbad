# Two-stage TFPose with ResNet-50 on COCO at 384x288: the recommended config of this size. It is not in the paper.
# Sigma and radius of the keypoint maps grow with the input, as the sigma of heat maps does in MMPose's configs.
_base_ = "tfpose_two-stage_r50_coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(288, 384), sigma=3)
model = dict(head=dict(start=dict(radius=6, loss=dict(sigma=3.0))))

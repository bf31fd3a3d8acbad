# TFPose's deformable neck with the head of SimCC (ResNet-50).
_base_ = ["../tfpose_r50_coco_256x192.py", "../_base_/peers/simcc.py"]
from tfpose_mm.config import use_peer

use_peer(_base_, keep_neck=True)

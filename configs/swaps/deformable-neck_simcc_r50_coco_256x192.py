# The deformable transformer between ResNet-50 and the head of SimCC.
_base_ = ["../tfpose_r50_coco_256x192.py", "../_base_/peers/simcc.py"]
from tfpose_mm.config import use_peer

use_peer(_base_, keep_neck=True)

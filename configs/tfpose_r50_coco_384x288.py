# The main config at 384x288 (Tables 5 and 6), with the sigma of MMPose's UDP configs at this size.
_base_ = "tfpose_r50_coco_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(288, 384), sigma=3)

# RTMPose's head in the comparison on Leeds Sports Pose Extended.
_base_ = ["tfpose_small_lspet_128x96.py", "../_base_/peers/rtmpose.py"]
from tfpose_mm.config import change_codec, use_peer

use_peer(_base_)
change_codec(_base_, sigma=(3.46, 4.0))  # the root of an eighth of the crop size

# SimCC in the comparison on Leeds Sports Pose Extended.
_base_ = ["tfpose_small_lspet_128x96.py", "../_base_/peers/simcc.py"]
from tfpose_mm.config import change_codec, use_peer

use_peer(_base_)
change_codec(_base_, sigma=4.24)  # with the root of the crop size

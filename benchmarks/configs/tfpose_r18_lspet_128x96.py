# The example for your own data at 128x96.
_base_ = "../../configs/tfpose_r18_lspet_256x192.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(96, 128))

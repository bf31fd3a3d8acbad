# RTMPose's head at 128x96: sigma is the root of an eighth of the input size, as in MMPose's configs.
_base_ = "rtmpose.py"

peer = dict(codec=dict(sigma=(3.46, 4.0)))

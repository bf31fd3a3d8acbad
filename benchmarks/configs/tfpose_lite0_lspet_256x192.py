# TFPose with a pretrained EfficientNet-Lite0 on Leeds Sports Pose Extended at 256x192: 60 epochs, batch size 64.
_base_ = "tfpose_lite0_lspet_128x96.py"
from tfpose_mm.config import change_codec

change_codec(_base_, input_size=(192, 256))
_base_.param_scheduler[0].end = 71  # iterations in an epoch of 4,500 instances
auto_scale_lr = dict(base_batch_size=64)
train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=60, val_interval=10)

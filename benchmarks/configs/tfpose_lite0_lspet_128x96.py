# TFPose with a pretrained EfficientNet-Lite0 in the small-scale comparison on Leeds Sports Pose Extended: 10 epochs.
# Needs timm, mmpretrain and the weights of the backbone (docs/training.md).
_base_ = ["tfpose_small_lspet_128x96.py", "_base_/lite0.py"]

custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading", "mmpretrain.models"])
model = dict(_base_.pop("lite0"), neck=dict(in_channels=[40, 112, 320]))
train_cfg = dict(max_epochs=10)
# The pretrained backbone has a quarter of the learning rate of all other parts.
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, custom_keys={"backbone": dict(lr_mult=0.25)}))

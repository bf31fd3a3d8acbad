# RTMPose's head with EfficientNet-Lite0 in the small-scale comparison on Leeds Sports Pose Extended.
# Head, codec and optimizer, except the learning rates, are those of MMPose's config.
_base_ = ["rtmpose_small_lspet_128x96.py", "_base_/lite0.py"]

custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading", "mmpretrain.models"])
model = dict(_base_.pop("lite0"), head=dict(in_channels=320))
train_cfg = dict(max_epochs=10)
optim_wrapper = dict(optimizer=dict(lr=4e-3), paramwise_cfg=dict(custom_keys={"backbone": dict(lr_mult=0.25)}))

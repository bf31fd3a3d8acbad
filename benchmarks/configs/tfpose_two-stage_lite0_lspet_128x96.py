# Two-stage TFPose with EfficientNet-Lite0 in the small-scale comparison on Leeds Sports Pose Extended.
# The recipe, except the learning rate, is that of tfpose_lite0_lspet_128x96.py.
_base_ = ["tfpose_two-stage_small_lspet_128x96.py", "_base_/lite0.py"]

custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading", "mmpretrain.models"])
model = dict(_base_.pop("lite0"), neck=dict(in_channels=[40, 112, 320]))
train_cfg = dict(max_epochs=10)
optim_wrapper = dict(
    optimizer=dict(lr=8e-3), paramwise_cfg=dict(_delete_=True, custom_keys={"backbone": dict(lr_mult=0.25)})
)

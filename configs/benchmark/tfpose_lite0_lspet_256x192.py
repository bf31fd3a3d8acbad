# TFPose with a pretrained EfficientNet-Lite0 on Leeds Sports Pose Extended at 256x192: 60 epochs, batch size 64.
# Needs timm, mmpretrain and the weights of the backbone (docs/benchmark.md).
_base_ = ["../_base_/lspet_256x192.py", "../_base_/tfpose_lite0.py", "../_base_/benchmark_recipe.py"]

custom_imports = dict(imports=["tfpose_mm", "mmpretrain.models"])
model = dict(head=dict(num_joints=14, decoder=_base_.codec))
_base_.param_scheduler[0].end = 71  # iterations in an epoch of 4,500 instances
auto_scale_lr = dict(base_batch_size=64)
train_dataloader = dict(batch_size=64)
train_cfg = dict(max_epochs=60, val_interval=10)
# The pretrained backbone has a quarter of the learning rate of all other parts.
optim_wrapper = dict(
    optimizer=dict(lr=4e-3), paramwise_cfg=dict(_delete_=True, custom_keys={"backbone": dict(lr_mult=0.25)})
)

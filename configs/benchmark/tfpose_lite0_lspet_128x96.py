# TFPose with a pretrained EfficientNet-Lite0 in the small-scale comparison on Leeds Sports Pose Extended: 10 epochs.
# Needs timm, mmpretrain and the weights of the backbone (docs/benchmark.md).
_base_ = ["../_base_/lspet_128x96.py", "../_base_/tfpose_lite0.py", "../_base_/benchmark_recipe.py"]

custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading", "mmpretrain.models"])
model = dict(head=dict(num_joints=14, decoder=_base_.codec))
train_dataloader = dict(batch_size=_base_.auto_scale_lr.base_batch_size)
train_cfg = dict(max_epochs=10)
# The pretrained backbone has a quarter of the learning rate of all other parts.
optim_wrapper = dict(
    optimizer=dict(lr=4e-3), paramwise_cfg=dict(_delete_=True, custom_keys={"backbone": dict(lr_mult=0.25)})
)

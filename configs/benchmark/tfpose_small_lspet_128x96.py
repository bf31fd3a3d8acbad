# TFPose in the comparison on Leeds Sports Pose Extended (docs/benchmark.md).
_base_ = ["../_base_/lspet_128x96.py", "../_base_/tfpose_small.py", "../_base_/benchmark_recipe.py"]

model = dict(head=dict(num_joints=14, decoder=_base_.codec))
train_dataloader = dict(batch_size=_base_.auto_scale_lr.base_batch_size)

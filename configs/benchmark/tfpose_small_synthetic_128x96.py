# TFPose in the comparison on hard synthetic people (docs/benchmark.md).
_base_ = ["../_base_/synthetic_128x96.py", "../_base_/tfpose_small.py", "../_base_/benchmark_recipe.py"]

model = dict(head=dict(decoder=_base_.codec))
train_dataloader = dict(batch_size=_base_.auto_scale_lr.base_batch_size)

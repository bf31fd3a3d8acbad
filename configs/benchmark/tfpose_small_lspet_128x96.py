# TFPose in the small-scale comparison on Leeds Sports Pose Extended: 20 epochs from scratch.
# A narrow ResNet-18, 1 encoder layer, 2 decoder layers, 64 channels (docs/benchmark.md).
_base_ = ["../_base_/lspet_128x96.py", "../_base_/tfpose_small.py", "../_base_/benchmark_recipe.py"]

model = dict(head=dict(num_joints=14, decoder=_base_.codec))
train_dataloader = dict(batch_size=_base_.auto_scale_lr.base_batch_size)
train_cfg = dict(max_epochs=20)
# One learning rate for all parts, not a tenth for the transformer: selected on held-out training images, see
# benchmarks/plans/learning_rates_from_scratch.yaml and learning_rates.yaml.
optim_wrapper = dict(optimizer=dict(lr=4e-3), paramwise_cfg=None)

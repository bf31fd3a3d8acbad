# Optimizer and schedule of TFPose (section 4.1).
# The paper does not give batch size, epochs and warm-up: these are the values of MMPose's regression configs on COCO (8
# GPUs x 64 images, 210 epochs, 500 iterations).
_base_ = "mmpose::_base_/default_runtime.py"

custom_imports = dict(imports=["tfpose_mm", "tfpose_mm.safe_loading"], allow_failed_imports=False)

train_cfg = dict(by_epoch=True, max_epochs=210, val_interval=10)

# The transformer, with the linear layers that predict sampling offsets, has a tenth of the learning rate: encoder,
# decoder, queries, y_0 and level embedding are in neck.transformer_encoder and head.transformer_decoder.
optim_wrapper = dict(
    optimizer=dict(type="AdamW", lr=4e-3, betas=(0.9, 0.999), weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={"transformer_": dict(lr_mult=0.1)}),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, begin=0, end=500, by_epoch=False),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),  # over all of max_epochs
]
auto_scale_lr = dict(base_batch_size=512)

# COCO gives NaN predictions an AP of 1, so a diverged model would be saved as the best: CheckFiniteHook stops a
# training with losses, weights or predictions that are not finite. PlainCheckpointHook saves checkpoints that torch
# loads without running code. EpochSeedHook seeds each epoch, ResumeHook resumes from the newest complete checkpoint,
# PreemptionHook saves one on SIGTERM. The backend "atomic" writes checkpoints so that each is complete or absent.
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CheckFiniteHook"),
    dict(type="PlainCheckpointHook"),
    dict(type="EpochSeedHook"),
    dict(type="ResumeHook"),
    dict(type="PreemptionHook"),
]

default_hooks = dict(
    checkpoint=dict(save_best="auto", rule="greater", max_keep_ckpts=3, backend_args=dict(backend="atomic"))
)

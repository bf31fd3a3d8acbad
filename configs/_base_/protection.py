# MMPose's runtime, and what protects a training.
_base_ = "mmpose::_base_/default_runtime.py"

# CheckFiniteHook stops a training with losses, weights or predictions that are not finite: COCO gives NaN predictions
# an AP of 1, so a diverged model would be saved as the best. PlainCheckpointHook saves checkpoints that torch loads
# without running code. EpochSeedHook seeds each epoch, ResumeHook resumes from the newest complete checkpoint,
# PreemptionHook saves one on SIGTERM.
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CheckFiniteHook"),
    dict(type="PlainCheckpointHook"),
    dict(type="EpochSeedHook"),
    dict(type="ResumeHook"),
    dict(type="PreemptionHook"),
]
# The backend "atomic" writes checkpoints so that each is complete or absent.
default_hooks = dict(checkpoint=dict(backend_args=dict(backend="atomic")))

# EpochSeedHook needs training workers that init_worker starts and that start anew in each epoch.
train_dataloader = dict(persistent_workers=False, worker_init_fn=dict(type="init_worker"))
val_dataloader = dict(worker_init_fn=dict(type="init_worker"))
test_dataloader = val_dataloader

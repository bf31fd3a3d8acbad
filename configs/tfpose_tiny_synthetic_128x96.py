# A small TFPose on synthetic people: the demo (make demo).
# These people stand upright and are fully visible, so the augmentation is milder than the paper's.
_base_ = [
    "_base_/synthetic_128x96.py",
    "_base_/tfpose_tiny.py",
    "_base_/short_recipe.py",
]
from tfpose_mm.config import change_steps

model = dict(head=dict(decoder=_base_.codec))
train_dataloader = dict(batch_size=16)
change_steps(
    _base_, RandomBBoxTransform=dict(scale_factor=(0.8, 1.2), rotate_factor=20.0), RandomHalfBody=dict(prob=0.0)
)

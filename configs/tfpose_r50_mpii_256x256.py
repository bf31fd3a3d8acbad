# TFPose with ResNet-50 on MPII, 6 encoder and 6 decoder layers (Table 7).
_base_ = [
    "_base_/mpii_256x256.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]

model = dict(head=dict(num_joints=16, decoder=_base_.codec))
default_hooks = dict(checkpoint=dict(save_best="PCK"))

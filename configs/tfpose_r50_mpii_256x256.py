# TFPose, ResNet-50, N_E 6, on MPII (Table 7). Not trained on MPII yet; the paper reports 90.4 PCKh@0.5 on its test set.
_base_ = [
    "_base_/mpii_256x256.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]

model = dict(head=dict(num_joints=16, decoder=_base_.codec))
default_hooks = dict(checkpoint=dict(save_best="PCK"))

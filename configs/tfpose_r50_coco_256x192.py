# TFPose, ResNet-50, N_E 6, N_D 6 (Tables 5 and 6). Not trained on COCO yet; the paper reports 71.0 AP on val2017.
_base_ = [
    "_base_/coco_256x192.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]

model = dict(head=dict(decoder=_base_.codec))

# TFPose, ResNet-50, N_E 6, 384x288 (Tables 5, 6). Not trained on COCO yet; the paper reports 72.4 AP on val2017.
_base_ = [
    "_base_/coco_384x288.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]

model = dict(head=dict(decoder=_base_.codec))

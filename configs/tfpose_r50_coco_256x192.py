# TFPose with ResNet-50 on COCO, 6 encoder and 6 decoder layers (Tables 5 and 6): the main config.
_base_ = [
    "_base_/coco_256x192.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]

model = dict(head=dict(decoder=_base_.codec))

# The main config at 384x288 (Tables 5 and 6).
_base_ = [
    "_base_/coco_384x288.py",
    "_base_/tfpose_r50.py",
    "_base_/recipe.py",
]

model = dict(head=dict(decoder=_base_.codec))

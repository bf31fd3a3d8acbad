# The main config with ResNet-18 (Table 4, row 2).
_base_ = ["_base_/coco_256x192.py", "_base_/tfpose_r18.py", "_base_/recipe.py"]

model = dict(head=dict(decoder=_base_.codec))

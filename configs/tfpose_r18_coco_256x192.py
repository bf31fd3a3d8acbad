# TFPose, ResNet-18, N_E 6, N_D 6 (Table 4, row 2). Not trained on COCO yet; the paper reports 69.5 AP on val2017.
_base_ = ["_base_/coco_256x192.py", "_base_/tfpose_r18.py", "_base_/recipe.py"]

model = dict(head=dict(decoder=_base_.codec))

# Table 4, row 1: ResNet-18, no auxiliary heat maps.
_base_ = "../tfpose_r18_coco_256x192.py"

model = dict(head=dict(aux_branch=False))

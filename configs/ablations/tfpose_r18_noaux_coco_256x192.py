# No auxiliary heat maps (Table 4, row 1). The paper reports 67.2 AP on val2017.
_base_ = "../tfpose_r18_coco_256x192.py"

model = dict(head=dict(aux_branch=False))

# N_D 2, no auxiliary heat maps (Table 3, row 2). The paper reports 66.9 AP on val2017.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

model = dict(head=dict(num_layers=2))

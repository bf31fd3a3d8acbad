# N_D 4, no auxiliary heat maps (Table 3, row 4). The paper reports 67.2 AP on val2017.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

model = dict(head=dict(num_layers=4))

# N_D 1, no auxiliary heat maps (Table 3, row 1). The paper reports 65.7 AP on val2017.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

model = dict(head=dict(num_layers=1))

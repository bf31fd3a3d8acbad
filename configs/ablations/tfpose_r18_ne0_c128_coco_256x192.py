# No encoder, C 128 (Table 2, row 1). The paper reports 63.2 AP on val2017.
_base_ = "tfpose_r18_ne0_coco_256x192.py"

model = dict(neck=dict(out_channels=128), head=dict(in_channels=128, embed_dims=128))

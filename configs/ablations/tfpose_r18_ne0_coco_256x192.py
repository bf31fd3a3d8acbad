# No encoder, C2..C5 (Table 1, row 2; Table 2, row 2). The paper reports 64.5 AP on val2017.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

model = dict(
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256, 512], num_layers=0),
    head=dict(num_levels=4),
)

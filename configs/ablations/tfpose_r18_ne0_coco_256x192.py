# Table 1, row 2 and Table 2, row 2: ResNet-18, no encoder, C2 to C5, no auxiliary heat maps.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

model = dict(
    backbone=dict(out_indices=(0, 1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256, 512], num_layers=0),
    head=dict(num_levels=4),
)

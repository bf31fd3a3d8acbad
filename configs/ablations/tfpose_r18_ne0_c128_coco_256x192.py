# Table 2, row 1: ResNet-18, no encoder, C2 to C5, 128 channels, no auxiliary heat maps.
_base_ = "tfpose_r18_ne0_coco_256x192.py"

model = dict(neck=dict(out_channels=128), head=dict(in_channels=128, embed_dims=128))

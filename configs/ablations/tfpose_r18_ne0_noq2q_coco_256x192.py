# Table 1, row 1: ResNet-18, no encoder, C2 to C5, no query-to-query attention, no auxiliary heat maps.
_base_ = "tfpose_r18_ne0_coco_256x192.py"

model = dict(head=dict(query_attention=False))

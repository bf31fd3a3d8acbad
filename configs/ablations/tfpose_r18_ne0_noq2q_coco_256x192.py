# No encoder, no query-to-query attention (Table 1, row 1). The paper reports 63.2 AP on val2017.
_base_ = "tfpose_r18_ne0_coco_256x192.py"

model = dict(head=dict(query_attention=False))

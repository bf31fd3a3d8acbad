# Table 3, row 1: ResNet-18, 1 decoder layer, no auxiliary heat maps.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

model = dict(head=dict(num_layers=1))

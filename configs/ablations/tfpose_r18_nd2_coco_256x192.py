# Table 3, row 2: ResNet-18, 2 decoder layers, no auxiliary heat maps.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

model = dict(head=dict(num_layers=2))

# Table 3, row 6: ResNet-18, 6 decoder layers, no auxiliary heat maps.
_base_ = "tfpose_r18_noaux_coco_256x192.py"

# SimCC for crops of 128x96: sigma with the root of the crop size.
_base_ = "simcc.py"

peer = dict(codec=dict(sigma=4.24))

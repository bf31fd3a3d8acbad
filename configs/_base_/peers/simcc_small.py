# SimCC at 128x96: sigma scales with the root of the input size.
_base_ = "simcc.py"

peer = dict(codec=dict(sigma=4.24))

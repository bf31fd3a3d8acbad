# TFPose with HRNet-W32: its finest map only, no neck.
# The head projects the map itself. The map has stride 4, so the auxiliary branch needs no deconvolution.
_base_ = "tfpose_hrnet-w32_coco_256x192.py"

_base_.model.backbone.extra.stage4.multiscale_output = False
_base_.model.pop("neck")
model = dict(head=dict(in_channels=[32], deconv_out_channels=None, deconv_kernel_sizes=None))

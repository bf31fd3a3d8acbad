# TFPose on HRNet-W32's finest map alone, which the head projects itself; its heat maps need no deconvolution.
_base_ = "tfpose_hrnet-w32_coco_256x192.py"

_base_.model.backbone.extra.stage4.multiscale_output = False
_base_.model.pop("neck")
model = dict(head=dict(in_channels=[32], deconv_out_channels=None, deconv_kernel_sizes=None))

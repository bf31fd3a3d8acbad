from tfpose_lite.xtcocotools import COCO  # noqa: D100, F401

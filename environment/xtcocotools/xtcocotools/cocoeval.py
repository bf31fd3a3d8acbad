from tfpose_lite.xtcocotools import COCOeval  # noqa: D100, F401

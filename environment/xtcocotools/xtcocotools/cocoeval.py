from xtcocotools.coco import COCOeval  # noqa: D100, F401

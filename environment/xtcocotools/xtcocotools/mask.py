from pycocotools.mask import *  # noqa: D100, F403

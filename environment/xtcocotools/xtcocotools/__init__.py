"""xtcocotools on pycocotools, for Python 3.13, where the real one does not build; see tfpose_mm/host/xtcocotools.py."""

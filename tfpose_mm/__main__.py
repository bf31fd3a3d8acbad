"""``python -m tfpose_mm NAME`` is ``tfpose NAME``."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())

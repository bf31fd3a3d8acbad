# Integral regression (DSNT) in the comparison on hard synthetic people.
_base_ = ["tfpose_small_synthetic_128x96.py", "../_base_/peers/dsnt.py"]
from tfpose_mm.config import use_peer

use_peer(_base_)

"""What the letters in our docstrings mean, and the array aliases that go with them.

==========  =====================================================================
letter      meaning
==========  =====================================================================
``V``       variants in a block
``N``       samples
``T``       traits
``C``       covariates, the intercept included
``K``       columns of the thin matrix that genotypes are multiplied with
``B``       bytes of one packed variant, ``8 * ceil(N / 32)``
==========  =====================================================================
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64Array = NDArray[np.float64]
Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]
Int32Array = NDArray[np.int32]
UInt8Array = NDArray[np.uint8]
UInt16Array = NDArray[np.uint16]
UInt32Array = NDArray[np.uint32]
UInt64Array = NDArray[np.uint64]
BoolArray = NDArray[np.bool_]

SAMPLES_PER_BYTE = 4
SAMPLES_PER_WORD = 32


def packed_bytes(n_samples: int) -> int:
    """Bytes of one packed variant: two bits a call, padded to whole 64-bit words."""
    return 8 * ((n_samples + SAMPLES_PER_WORD - 1) // SAMPLES_PER_WORD)

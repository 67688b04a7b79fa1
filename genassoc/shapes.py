"""What the letters in our docstrings mean, one letter one meaning, and the array aliases that go with them.

==========  =====================================================================
size        of
==========  =====================================================================
``V``       variants in a block
``N``       samples of the cohort, the columns of a block
``n``       samples analysed: those complete for a trait, or observed in a row
``T``       traits
``C``       covariates, the intercept included
``D``       tested columns of a variant: 1 additive, 2 genotypic or interaction
``K``       tests of a variant and trait, the contrasts of its D columns
``P``       coefficients of a fit: those of covariates and tested columns
``R``       rows of a block that are fitted one by one
``M``       thresholds of an ordered outcome
``S``       matched sets, or strata
``Z``       columns of the thin matrix that genotypes are multiplied with
``W``       64-bit words of one packed variant
``B``       bytes of one packed variant, ``8 * ceil(N / 32)``
==========  =====================================================================

==========  =====================================================================
array       holds
==========  =====================================================================
``X``       covariates (n, C)
``Q``       an orthonormal basis of the columns of X (n, C)
``y``       outcomes (n,) or (N, T)
``G``       genotypes of rows that are fitted (R, n); ``g`` one of them
``H``       tested columns of one variant (n, D)
``E``       the covariate of an interaction (n,)
``U``       score: the gradient of the log likelihood
``J``       information matrix (P, P)
``L``       Cholesky factor of J
==========  =====================================================================

``weight`` is a sampling weight. The weights of a fit, the variance of an outcome given its mean, are ``w``.
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

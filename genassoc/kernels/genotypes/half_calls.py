"""Half calls (0/., ./1) as a store keeps them: the mark of a haploid call, and code 1 where the allele is ALT, else code 3.

No other call has that: a haploid call is of code 0 or 2. Whose half calls are whole, and whose are not observed, is known where the
sexes are.
"""

import numpy as np

from genassoc.kernels import native
from genassoc.shapes import Int64Array, UInt8Array


@native
def forget_half_calls(packed: UInt8Array, marks: UInt8Array, rows: Int64Array) -> None:
    """Make half calls of some rows of calls not observed, and take their marks away: packed (V, B) and marks (V, H) change."""
    for row in range(rows.size):
        r = rows[row]
        for b in range(marks.shape[1]):
            byte = np.int64(marks[r, b])
            if byte == 0:
                continue
            for k in range(8):
                if (byte >> k) & 1:
                    at, shift = 2 * b + (k >> 2), 2 * (k & 3)
                    if (packed[r, at] >> shift) & 1:
                        packed[r, at] |= 3 << shift
                        byte &= np.int64(~(1 << k))
            marks[r, b] = byte

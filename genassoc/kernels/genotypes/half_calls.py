"""Half calls (0/., ./1) as a store keeps them: the mark of a haploid call, and code 1 where the allele is ALT, else code 3.

No other call has that: a haploid call is of code 0 or 2. Whose half calls are whole, and whose are not observed, is known where the
sexes are.
"""

import numpy as np

from genassoc.kernels import native
from genassoc.shapes import Int64Array, UInt8Array


@native
def settle_half_calls(
    packed: UInt8Array, marks: UInt8Array, rows: Int64Array, whole: UInt8Array, who: UInt8Array
) -> None:
    """Make half calls of some rows whole or not observed: packed (V, B) and marks (V, H) change.

    Parameters
    ----------
    packed, marks
    rows : int64 array (R,)
    whole : uint8 array (R,)
        1 where half calls of ``who`` are haploid calls of the allele that is there.
    who : uint8 array (H,)
        Bits of samples.
    """
    for row in range(rows.size):
        r = rows[row]
        for b in range(marks.shape[1]):
            byte = np.int64(marks[r, b])
            if byte == 0:
                continue
            for k in range(8):
                if (byte >> k) & 1:
                    at, shift = 2 * b + (k >> 2), 2 * (k & 3)
                    code = (np.int64(packed[r, at]) >> shift) & 3
                    if code & 1:
                        if whole[row] and (np.int64(who[b]) >> k) & 1:
                            # 1, the allele is ALT: 2; 3: 0
                            packed[r, at] = np.int64(packed[r, at]) ^ (3 << shift)
                        else:
                            packed[r, at] = np.int64(packed[r, at]) | (3 << shift)
                            byte &= np.int64(~(1 << k))
            marks[r, b] = byte


def forget_half_calls(packed: UInt8Array, marks: UInt8Array, rows: Int64Array) -> None:
    """Make half calls of some rows not observed, and take their marks away: as `settle_half_calls` where nobody's are whole."""
    settle_half_calls(packed, marks, rows, np.zeros(rows.size, np.uint8), np.zeros(marks.shape[1], np.uint8))

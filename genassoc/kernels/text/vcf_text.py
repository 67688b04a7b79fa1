"""Packed genotypes as the text of VCF lines."""

from genassoc.kernels import jit
from genassoc.kernels.text.line_parts import put_prefix
from genassoc.shapes import Int64Array, UInt8Array

_TAB, _NEWLINE, _SLASH, _DOT, _ZERO, _ONE = 9, 10, 47, 46, 48, 49


@jit
def write_lines(
    prefixes: UInt8Array,
    prefix_end: Int64Array,
    packed: UInt8Array,
    haploid: UInt8Array,
    n_samples: int,
    text: UInt8Array,
) -> int:
    r"""Write V lines into ``text``: each prefix, then ``\t0/0``, ``\t0/1``, ``\t1/1`` or ``\t./.`` a sample.

    ``prefixes`` holds the first nine columns of all lines joined, line v's ending at ``prefix_end[v]``.
    ``haploid`` (V, ceil(N / 8)) marks haploid calls, written ``\t0``, ``\t1`` or ``\t.``; it has no columns
    where no call is haploid. ``text`` needs ``len(prefixes) + V (4 N + 1)`` bytes. Returns the bytes written.
    """
    V = packed.shape[0]
    some_haploid = haploid.shape[1] > 0
    at = 0
    for v in range(V):
        at = put_prefix(text, at, prefixes, prefix_end, v)
        for i in range(n_samples):
            code = (packed[v, i >> 2] >> (2 * (i & 3))) & 3
            # code 0: 0/0, 1: 0/1, 2: 1/1, 3: ./.
            left = _DOT if code == 3 else (_ONE if code == 2 else _ZERO)
            right = _DOT if code == 3 else (_ZERO if code == 0 else _ONE)
            text[at] = _TAB
            if some_haploid and (haploid[v, i >> 3] >> (i & 7)) & 1:
                text[at + 1] = right
                at += 2
                continue
            text[at + 1] = left
            text[at + 2] = _SLASH
            text[at + 3] = right
            at += 4
        text[at] = _NEWLINE
        at += 1
    return at

"""Parts of a line of VCF as it is written: its first nine columns, and the alleles of a call."""

from genassoc.kernels import jit
from genassoc.kernels.genotypes.alleles import FILL
from genassoc.kernels.text.decimals import put_whole
from genassoc.shapes import Array, Int64Array, UInt8Array

_SLASH, _DOT = 47, 46


@jit
def put_prefix(text: UInt8Array, at: int, prefixes: UInt8Array, prefix_end: Int64Array, record: int) -> int:
    """Write the prefix of a record, one of those joined whose ends are ``prefix_end`` (L,); the place behind it."""
    for k in range(prefix_end[record - 1] if record > 0 else 0, prefix_end[record]):
        text[at] = prefixes[k]
        at += 1
    return at


@jit
def put_alleles(text: UInt8Array, at: int, alleles: Array, record: int, i: int) -> int:
    """Write the alleles of sample i: ``alleles`` (L, N, P), -1 not observed, `FILL` none; ``.`` of none at all. The place behind."""
    written = 0
    for copy in range(alleles.shape[2]):
        allele = int(alleles[record, i, copy])
        if allele == FILL:
            continue
        if written > 0:
            text[at] = _SLASH
            at += 1
        if allele < 0:
            text[at] = _DOT
            at += 1
        else:
            at = put_whole(text, at, allele)
        written += 1
    if written == 0:
        text[at] = _DOT
        at += 1
    return at

"""Calls and numbers of VCF Zarr as the text of VCF lines."""

from typing import NamedTuple

from genassoc.kernels import jit
from genassoc.kernels.genotypes.alleles import FILL
from genassoc.kernels.text.decimals import put_fraction, put_whole
from genassoc.kernels.text.line_parts import put_alleles, put_prefix
from genassoc.shapes import Array, Int64Array, UInt8Array

_TAB, _NEWLINE, _SLASH, _DOT, _MINUS, _ZERO, _COLON, _COMMA = 9, 10, 47, 46, 45, 48, 58, 44
_UNIT = 1_000_000  # numbers are written to six decimals, which is what float32 holds of 0 to 2
_LARGEST = 1e12
CALL_BYTES = 7  # of an allele: five digits, a sign, a mark
NUMBER_BYTES = 22  # of a number: thirteen digits, a point, six decimals, a sign, a mark
WHOLE, BY_ALT, BY_ALLELE = (
    0,
    1,
    2,
)  # how many numbers a field has: those that are not absent at its end, one an ALT, one an allele


class Numbers(NamedTuple):
    """Numbers of K fields of L records x N samples.

    Attributes
    ----------
    values : float32 array (L, N, F)
        Of all fields one after another; NaN is absent.
    start : int64 array (K + 1,)
        Where those of each field begin.
    kind : int64 array (K,)
        `WHOLE`, `BY_ALT` or `BY_ALLELE`.
    n_alts : int64 array (L,)
    written : uint8 array (L, K)
        Which fields a record has.
    """

    values: Array
    start: Int64Array
    kind: Int64Array
    n_alts: Int64Array
    written: UInt8Array


@jit
def _put_number(text: UInt8Array, at: int, x: float) -> int:
    """Write a number to six decimals without zeros at the end; the place behind it."""
    if x != x:
        text[at] = _DOT
        return at + 1
    if x < 0.0:
        text[at] = _MINUS
        at += 1
        x = -x
    x = min(x, _LARGEST)
    whole = int(x)
    left = int((x - whole) * _UNIT + 0.5)
    if left >= _UNIT:
        whole, left = whole + 1, 0
    return put_fraction(text, put_whole(text, at, whole), left, _UNIT)


@jit
def write_calls(prefixes: UInt8Array, prefix_end: Int64Array, calls: Array, numbers: Numbers, text: UInt8Array) -> int:
    """Write L lines into ``text``: each prefix, then of each sample its alleles and its numbers; the bytes written.

    Parameters
    ----------
    prefixes : uint8 array
        The first nine columns of all lines joined.
    prefix_end : int64 array (L,)
        Where each ends.
    calls : int16 array (L, N, P)
        Alleles; -1 not observed, -2 none. Without any (P 0) the samples have no GT.
    numbers : Numbers
    text : uint8 array
        Room: the prefixes, a line feed a line, and of a sample 2 bytes, `CALL_BYTES` an allele and `NUMBER_BYTES` a number.
    """
    L, N, P = calls.shape
    K = numbers.kind.size
    at = 0
    for record in range(L):
        at = put_prefix(text, at, prefixes, prefix_end, record)
        n_alts = numbers.n_alts[record]
        for i in range(N):
            text[at] = _TAB
            at += 1
            a, b = (int(calls[record, i, 0]), int(calls[record, i, 1])) if P == 2 else (FILL, FILL)
            if -1 <= min(a, b) and max(a, b) < 10:  # nearly all
                text[at] = _DOT if a < 0 else _ZERO + a
                text[at + 1] = _SLASH
                text[at + 2] = _DOT if b < 0 else _ZERO + b
                at += 3
            elif P > 0:
                at = put_alleles(text, at, calls, record, i)
            before = P
            for field in range(K):
                if numbers.written[record, field] == 0:
                    continue
                first, last = numbers.start[field], numbers.start[field + 1]
                values = numbers.values[record, i, first:last]
                n = values.size
                while n > 0 and values[n - 1] != values[n - 1]:
                    n -= 1
                if n > 0 and numbers.kind[field] != WHOLE:
                    n = min(values.size, n_alts + (1 if numbers.kind[field] == BY_ALLELE else 0))
                if before > 0:
                    text[at] = _COLON
                    at += 1
                before = 1
                if n == 0:
                    text[at] = _DOT
                    at += 1
                for k in range(n):
                    if k > 0:
                        text[at] = _COMMA
                        at += 1
                    at = _put_number(text, at, values[k])
        text[at] = _NEWLINE
        at += 1
    return at

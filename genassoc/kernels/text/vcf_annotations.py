"""FILTER and INFO of the rows that a scan of VCF text gave: where they stand, and their values as columns of text."""

import numpy as np

from genassoc.kernels import jit, native
from genassoc.kernels.text.vcf_fields import COMMA, DOT, TAB, field_end, same
from genassoc.shapes import Int32Array, Int64Array, UInt8Array

FILTER_START, FILTER_END, INFO_START, INFO_END = range(4)  # columns of `spans`
ABSENT, FLAG = -1, -2  # in place of where a value begins: "." and "1" are written
_SEMICOLON, _EQUALS, _ONE = 59, 61, 49


@native
def find_columns(text: UInt8Array, alternates: Int64Array, spans: Int64Array, changes: UInt8Array) -> None:
    """Find FILTER and INFO of each row.

    Parameters
    ----------
    text : uint8 (L,)
    alternates : int64 (V,)
        An offset in the ALT column of each row's line, which has nine columns.
    spans : int64 (V, 4)
        Filled.
    changes : uint8 (V,)
        Filled: 1 where FILTER is another than in the row before.
    """
    for v in range(alternates.shape[0]):
        quality = field_end(text, alternates[v]) + 1
        start = field_end(text, quality) + 1
        end = field_end(text, start)
        spans[v, FILTER_START] = start
        spans[v, FILTER_END] = end
        spans[v, INFO_START] = end + 1
        spans[v, INFO_END] = field_end(text, end + 1)
        changes[v] = 1
        if v > 0 and same(text, start, end, text, spans[v - 1, FILTER_START], spans[v - 1, FILTER_END]):
            changes[v] = 0


@jit
def _value_of(text: UInt8Array, at: int, end: int, name: UInt8Array) -> tuple[int, int]:
    """Where the value of INFO field ``name`` begins and ends; (`FLAG`, 0) where it has none, (`ABSENT`, 0) where it is not there."""
    while at < end:
        stop = at
        while stop < end and text[stop] != _SEMICOLON:
            stop += 1
        behind = at + name.shape[0]
        if behind <= stop and same(text, at, behind, name, 0, name.shape[0]):
            if behind == stop:
                return FLAG, 0
            if text[behind] == _EQUALS:
                return behind + 1, stop
        at = stop + 1
    return ABSENT, 0


@native
def find_values(
    text: UInt8Array,
    spans: Int64Array,
    name: UInt8Array,
    alternates: Int64Array,
    alt_index: Int32Array,
    values: Int64Array,
) -> int:
    """Find an INFO field of each row.

    Parameters
    ----------
    text : uint8 (L,)
    spans : int64 (V, 4)
        Of `find_columns`.
    name : uint8 (any,)
        The field.
    alternates : int64 (V,)
        Where the ALT column of each row's line begins; empty: values are kept whole.
    alt_index : int32 (V,)
        From 1: of a list of as many values as ALTs each row takes its own.
    values : int64 (V, 2)
        Filled: where the value begins and ends; `ABSENT` or `FLAG` in place of the beginning.

    Returns
    -------
    int
        Rows whose list is not as long as ALT, and is kept whole.
    """
    uneven = 0
    for v in range(spans.shape[0]):
        start, end = _value_of(text, spans[v, INFO_START], spans[v, INFO_END], name)
        if start >= 0 and alternates.shape[0] > 0 and not (end - start == 1 and text[start] == DOT):
            missing = 0  # values that lack, or are too many where it is negative
            at = alternates[v]
            while text[at] != TAB:
                missing += int(text[at] == COMMA)
                at += 1
            number, own_start, own_end = 1, start, start
            for k in range(start, end):
                if text[k] == COMMA:
                    missing -= 1
                    if number == alt_index[v]:
                        own_end = k
                    number += 1
                    if number == alt_index[v]:
                        own_start = k + 1
            if number == alt_index[v]:
                own_end = end
            if missing == 0:
                start, end = own_start, own_end
            else:
                uneven += 1
        if start >= 0 and start == end:
            start = ABSENT  # a name with nothing behind its sign of equality
        values[v, 0] = start
        values[v, 1] = end
    return uneven


@native
def take_values(text: UInt8Array, values: Int64Array, offsets: Int64Array, data: UInt8Array) -> None:
    """Copy values as a column of text.

    Parameters
    ----------
    text : uint8 (L,)
    values : int64 (V, 2)
        Where each begins and ends; `ABSENT` and `FLAG` are written as "." and "1".
    offsets : int64 (V + 1,)
        Filled: value v is ``data[offsets[v] : offsets[v + 1]]``.
    data : uint8 (bytes of all,)
        Filled.
    """
    at = 0
    for v in range(values.shape[0]):
        offsets[v] = at
        start, end = values[v, 0], values[v, 1]
        if start < 0:
            data[at] = np.uint8(_ONE if start == FLAG else DOT)
            at += 1
        else:
            for k in range(start, end):
                data[at] = text[k]
                at += 1
    offsets[values.shape[0]] = at

"""Alleles, dosages and probabilities of genotypes as the text of VCF lines."""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.alleles import FILL
from genassoc.kernels.text.decimals import put_fraction, put_whole
from genassoc.kernels.text.line_parts import put_alleles, put_prefix
from genassoc.shapes import Array, Int64Array, UInt8Array, UInt16Array

_TAB, _NEWLINE, _SLASH, _DOT, _ZERO, _COLON, _COMMA = 9, 10, 47, 46, 48, 58, 44
_UNIT = 100_000  # numbers are written to five decimals, without zeros at the end
NUMBER_BYTES = 8  # "1.99999", and a mark before it
_NOT_OBSERVED = 65535


class RecordDosages(NamedTuple):
    """Dosages of the V rows of L records, with what is written of each record.

    Attributes
    ----------
    first : int64 array (L + 1,)
        Where the rows of each record begin, and V.
    row : int64 array (V,)
        Row of ``values``; -1 where a row has calls only.
    steps : uint16 array (V,)
        Of one copy.
    values, homozygous : uint16 arrays (D, N)
        Copies of ALT, and probability of two, in steps; 65535 where not known. ``homozygous`` has no rows where nothing is.
    written : uint8 array (L,)
        0: GT alone; 1: GT:DS; 2: GT:DS:GP (of records with one ALT).
    """

    first: Int64Array
    row: Int64Array
    steps: UInt16Array
    values: UInt16Array
    homozygous: UInt16Array
    written: UInt8Array


@jit
def _put_fraction(text: UInt8Array, at: int, steps: int, of: int) -> int:
    """Write steps / of to five decimals; the place behind it."""
    rounded = (2 * steps * _UNIT + of) // (2 * of)
    return put_fraction(text, put_whole(text, at, rounded // _UNIT), rounded % _UNIT, _UNIT)


@jit
def _put_dosages(text: UInt8Array, at: int, alleles: Array, dosages: RecordDosages, record: int, i: int) -> int:
    """Write ``:DS`` of a sample, one number an ALT, of one copy where its call is haploid; the place behind it."""
    first = dosages.first[record]
    single = 2 if alleles[record, i, 1] == FILL else 1
    for v in range(first, dosages.first[record + 1]):
        text[at] = _COLON if v == first else _COMMA
        at += 1
        d = dosages.row[v]
        if d >= 0:
            value = int(np.int64(dosages.values[d, i]))
            if value == _NOT_OBSERVED:
                text[at] = _DOT
                at += 1
            else:
                at = _put_fraction(text, at, value, single * int(np.int64(dosages.steps[v])))
        elif alleles[record, i, 0] < 0:
            text[at] = _DOT
            at += 1
        else:
            allele = v - first + 1
            copies = int(alleles[record, i, 0] == allele) + int(alleles[record, i, 1] == allele)
            at = put_whole(text, at, copies)
    return at


@jit
def _put_probabilities(text: UInt8Array, at: int, alleles: Array, dosages: RecordDosages, record: int, i: int) -> int:
    """Write ``:GP`` of a sample of a record with one ALT; the place behind it."""
    v = dosages.first[record]
    d = dosages.row[v]
    # unsigned numbers would wrap below 0
    value, both = int(np.int64(dosages.values[d, i])), int(np.int64(dosages.homozygous[d, i]))
    one = int(np.int64(dosages.steps[v]))
    text[at] = _COLON
    at += 1
    single = alleles[record, i, 1] == FILL
    if value == _NOT_OBSERVED or (both == _NOT_OBSERVED and not single):
        text[at] = _DOT
        return at + 1
    if single:
        at = _put_fraction(text, at, max(2 * one - value, 0), 2 * one)
        text[at] = _COMMA
        return _put_fraction(text, at + 1, value, 2 * one)
    at = _put_fraction(text, at, max(one - value + both, 0), one)
    text[at] = _COMMA
    at = _put_fraction(text, at + 1, max(value - 2 * both, 0), one)
    text[at] = _COMMA
    return _put_fraction(text, at + 1, both, one)


@jit
def write_records(
    prefixes: UInt8Array, prefix_end: Int64Array, alleles: Array, dosages: RecordDosages, text: UInt8Array
) -> int:
    """Write L lines into ``text``: each prefix, then GT, and DS and GP where they are written; the bytes written.

    Parameters
    ----------
    prefixes : uint8 array
        The first nine columns of all lines joined.
    prefix_end : int64 array (L,)
        Where each ends.
    alleles : int16 array (L, N, 2)
        As `genassoc.kernels.genotypes.alleles.join_alleles` sets them.
    dosages : RecordDosages
    text : uint8 array
        Room for a line: its prefix, a line feed, and a sample's 12 bytes and `NUMBER_BYTES` for each number.
    """
    L, N = alleles.shape[:2]
    at = 0
    for record in range(L):
        at = put_prefix(text, at, prefixes, prefix_end, record)
        written = dosages.written[record]
        for i in range(N):
            text[at] = _TAB
            at += 1
            at = put_alleles(text, at, alleles, record, i)
            if written > 0:
                at = _put_dosages(text, at, alleles, dosages, record, i)
            if written > 1:
                at = _put_probabilities(text, at, alleles, dosages, record, i)
        text[at] = _NEWLINE
        at += 1
    return at

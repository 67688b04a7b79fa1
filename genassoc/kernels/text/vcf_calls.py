"""The sample columns of a VCF line: genotypes to codes, codes to packed rows."""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.text.vcf_fields import BAR, COLON, COMMA, DOT, NEWLINE, RETURN, SLASH, TAB, ZERO
from genassoc.kernels.text.vector_text import WIDTH, field_masks, ones, trailing_zeros
from genassoc.shapes import Int32Array, Int64Array, UInt8Array

# What can be wrong with a line; `genassoc.kernels.text.vcf.scan` returns them.
OK = 0
FULL = 1  # no room for more rows: call again from where it stopped
BAD_COLUMNS = 2  # a line with other than 9 + N columns
BAD_CONTIG = 3
BAD_POSITION = 4
EMPTY_FIELD = 5  # ID, REF or ALT is empty
BAD_FORMAT = 6  # empty or repeated FORMAT field
BAD_GENOTYPE = 7  # characters that are no genotype
BAD_ALLELE = 8  # allele number above the number of ALTs
TOO_MANY_FIELDS = 9  # a sample has more fields than FORMAT
BAD_NUMBER = 10  # letters in a field that the header declares a number
HEADER_LINE = 11  # a line that starts with # after the header
BAD_DOSAGE = 12  # a dosage that is none
BAD_PROBABILITY = 13
BAD_HAPLOID = 14  # a dosage above 1 beside a haploid genotype
BAD_COUNT = 15  # more or fewer values than the alleles make
BAD_LOCAL = 16  # a genotype of local alleles that its list does not name

# Counters.
RECORDS, SPLIT, NO_GENOTYPES, NO_ALTERNATE, REFERENCE_BLOCK, HAPLOID_CALLS, HALF_MISSING, POLYPLOID_CALLS, OUTSIDE = (
    range(9)
)
# records with DS, HDS, GP whose dosages were not read, in the order of `vcf_fields.dosage_fields`
DOSAGES = 9  # the first of three
MASKED_GQ, MASKED_DP, MASKED_BALANCE, HALF_HAPLOID, HALF_REFERENCE = 12, 13, 14, 15, 16
FROM_CALLS, ADJUSTED, UNSOUND, DISAGREES, ROUNDED_ROWS = 17, 18, 19, 20, 21
N_COUNTERS = 22

# Bits of a call beside its two-bit code, while a line is read: of a half call whether its allele is kept.
HALF, HAPLOID, POLYPLOID, KEPT = 4, 8, 16, 32

# How genotypes are read, `Format.rules`: whether they may begin with a separator (VCF 4.4 and later), and what a half call is.
LEADING_PHASE = 1
HALF_RULES = 6
AS_MISSING, AS_KEPT, AS_HAPLOID, AS_REFERENCE = 0, 2, 4, 6


class Samples(NamedTuple):
    """The samples of the store in the columns of the file.

    Attributes
    ----------
    n_columns : int
        Sample columns of the file, at least 1.
    source : int64 (N,)
        File column of each sample of the store.
    in_order : bool
        It is 0, 1, .., n_columns - 1.
    """

    n_columns: int
    source: Int64Array
    in_order: bool


class Format(NamedTuple):
    """The FORMAT of a line.

    Attributes
    ----------
    n_fields, genotype : int
        How many fields; which of them is GT, -1 if none.
    n_alternates : int
        ALTs of the record.
    numeric : uint8 (256,)
        1 where a field must hold numbers; ``any_numeric``: one does.
    rules : int
        `LEADING_PHASE` or not, and one of `AS_MISSING`, ...
    """

    n_fields: int
    genotype: int
    n_alternates: int
    numeric: UInt8Array
    any_numeric: bool
    rules: int


class Calls(NamedTuple):
    """The calls of a line, as they are read.

    Attributes
    ----------
    first, second : int32 (n_columns,)
        Alleles of each column's call, -1 where it is not observed; a haploid allele stands in both.
    flags, codes : uint8 (n_columns,)
        HALF, HAPLOID, POLYPLOID, KEPT; the code of one ALT, with the flags.
    gathered : uint8 (N,)
        Codes in the order of the store.
    file_row : uint8 (1, bytes of all columns)
        A packed row of all columns.
    """

    first: Int32Array
    second: Int32Array
    flags: UInt8Array
    codes: UInt8Array
    gathered: UInt8Array
    file_row: UInt8Array


def room_of(samples: Samples) -> Calls:
    """Room for the calls of a line."""
    n = samples.n_columns
    return Calls(
        np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32), np.zeros(n, dtype=np.uint8), np.empty(n, dtype=np.uint8),
        np.empty(samples.source.shape[0], dtype=np.uint8), np.empty((1, 8 * ((n + 31) // 32)), dtype=np.uint8),
    )  # fmt: skip


@jit
def is_numeric_byte(c: int) -> bool:
    """Digits, ``+ - . , e`` and the letters of nan and infinity."""
    if c >= 48 and c <= 57:
        return True
    if c == 43 or c == 45 or c == DOT or c == COMMA:
        return True
    c |= 32
    return c == 101 or c == 110 or c == 97 or c == 105 or c == 102 or c == 116 or c == 121


@jit
def read_call(
    text: UInt8Array,
    at: int,
    n_alternates: int,
    rules: int,
    j: int,
    first: Int32Array,
    second: Int32Array,
    flags: UInt8Array,
) -> tuple[int, int]:
    """Read one genotype starting at ``at`` into column j of `Calls`; (error code, offset after it).

    ``rules`` are those of `Format`. The arrays that it fills, not their tuple: each call of this function counts references to all
    that it is given.
    """
    if rules & LEADING_PHASE and (text[at] == SLASH or text[at] == BAR):
        at += 1
    ploidy = 0
    absent = 0
    a = -1
    b = -1
    while True:
        c = text[at]
        allele = -1
        if c == DOT:
            absent += 1
            at += 1
        else:
            if c < 48 or c > 57:
                return BAD_GENOTYPE, at
            allele = 0
            while text[at] >= 48 and text[at] <= 57:
                if allele < 1_000_000:
                    allele = 10 * allele + (int(text[at]) - ZERO)
                at += 1
            if allele > n_alternates:
                return BAD_ALLELE, at
        if ploidy == 0:
            a = allele
        elif ploidy == 1:
            b = allele
        ploidy += 1
        if text[at] != SLASH and text[at] != BAR:
            break
        at += 1
    flag = 0
    if ploidy == 1:
        b = a
        # '.' alone says nothing about ploidy.
        if a >= 0:
            flag = HAPLOID
    elif ploidy == 2:
        if absent == 1:
            rule = rules & HALF_RULES
            flag = HALF
            if rule == AS_MISSING:
                a = -1
                b = -1
            elif rule == AS_REFERENCE:
                a = max(a, 0)
                b = max(b, 0)
            else:
                a = max(a, b)
                b = a
                flag |= KEPT if rule == AS_KEPT else HAPLOID
    else:
        a = -1
        b = -1
        # all dots: missing, whatever the ploidy
        if absent < ploidy:
            flag = POLYPLOID
    first[j] = a
    second[j] = b
    flags[j] = flag
    return OK, at


@jit
def end_of_plain(text: UInt8Array, at: int) -> tuple[int, int]:
    """Offset of the first byte from ``at`` on that is none of ``0-9 + - . , :``, and the colons before it.

    Nearly all that stands behind a genotype (depths, qualities, likelihoods) is such bytes, up to the tab.
    """
    colons = 0
    while at + WIDTH <= text.shape[0]:
        plain, colon = field_masks(text, at)
        length = trailing_zeros(~plain)
        if length < WIDTH:
            below = (np.uint64(1) << np.uint64(length)) - np.uint64(1)
            return at + length, colons + ones(colon & below)
        colons += ones(colon)
        at += WIDTH
    while text[at] >= 43 and text[at] <= COLON and text[at] != SLASH:
        colons += int(text[at] == COLON)
        at += 1
    return at, colons


@jit
def read_calls(
    text: UInt8Array, at: int, format: Format, n_alternates: int, calls: Calls
) -> tuple[int, int, int, int, int]:
    """Read the sample columns from ``at``; (error code, offset, file column, FORMAT field, bits seen in any call)."""
    first, second, flags = calls.first, calls.second, calls.flags
    n_fields, genotype, rules = format.n_fields, format.genotype, format.rules
    numeric, any_numeric = format.numeric, format.any_numeric
    L = text.shape[0]
    n_columns = first.shape[0]
    seen = 0
    for j in range(n_columns):
        first[j] = -1
        second[j] = -1
        flags[j] = 0
        field = 0
        while True:
            if field == genotype:
                # Shortcuts for the two commonest shapes; `read_call` says the same, slower.
                if at + 3 < L:
                    c1 = text[at + 1]
                    a = int(text[at]) - ZERO
                    if a >= 0 and a <= 9 and a <= n_alternates:
                        if c1 == TAB or c1 == COLON:
                            first[j] = a
                            second[j] = a
                            flags[j] = HAPLOID
                            seen |= HAPLOID
                            at += 1
                            if c1 == TAB:
                                break
                            field += 1
                            at += 1
                            if field >= n_fields:
                                return TOO_MANY_FIELDS, at, j, field, 0
                            end, colons = end_of_plain(text, at)
                            if text[end] == TAB and field + colons < n_fields:
                                at = end
                                break
                            continue
                        b = int(text[at + 2]) - ZERO
                        if (c1 == SLASH or c1 == BAR) and b >= 0 and b <= 9 and b <= n_alternates:
                            c3 = text[at + 3]
                            if c3 == TAB or c3 == COLON:
                                first[j] = a
                                second[j] = b
                                at += 3
                                if c3 == TAB:
                                    break
                                field += 1
                                at += 1
                                if field >= n_fields:
                                    return TOO_MANY_FIELDS, at, j, field, 0
                                end, colons = end_of_plain(text, at)
                                if text[end] == TAB and field + colons < n_fields:
                                    at = end
                                    break
                                continue
                code, at = read_call(text, at, n_alternates, rules, j, first, second, flags)
                if code != OK:
                    return code, at, j, field, 0
                c = text[at]
                if c != TAB and c != COLON and c != NEWLINE and not (c == RETURN and text[at + 1] == NEWLINE):
                    return BAD_GENOTYPE, at, j, field, 0
                seen |= flags[j]
            elif any_numeric and field < numeric.shape[0] and numeric[field] == 1:
                while text[at] != TAB and text[at] != COLON and text[at] > RETURN:
                    if not is_numeric_byte(text[at]):
                        return BAD_NUMBER, at, j, field, 0
                    at += 1
            else:
                while text[at] != TAB and text[at] != COLON and text[at] != NEWLINE:
                    at += 1
            if text[at] == RETURN and text[at + 1] == NEWLINE:
                at += 1
            if text[at] != COLON:
                break
            at += 1
            field += 1
            if field >= n_fields:
                return TOO_MANY_FIELDS, at, j, field, 0
        if text[at] == TAB:
            if j == n_columns - 1:
                return BAD_COLUMNS, at, j, field, 0
            at += 1
        elif text[at] == NEWLINE:
            if j < n_columns - 1:
                return BAD_COLUMNS, at, j, field, 0
        else:
            return BAD_NUMBER, at, j, field, 0
    return OK, at, 0, 0, seen


@jit
def code_calls(k: int, calls: Calls) -> None:
    """``code = 3 if not observed else (first == k) + (second == k)``, with the flags; of a half call kept 1 if ALT is there, else 3."""
    first, second, flags, codes = calls.first, calls.second, calls.flags, calls.codes
    for j in range(first.shape[0]):
        code = 0
        if first[j] < 0:
            code = 3
        else:
            code = int(first[j] == k) + int(second[j] == k)
            if flags[j] & KEPT:
                code = 1 if code > 0 else 3
        codes[j] = code | flags[j]


@jit
def pack_row(codes: UInt8Array, n_samples: int, packed: UInt8Array) -> None:
    """Pack codes (flags above the two bits are dropped) into one row (B,) of the layout in `packed`; padding is 3."""
    whole = n_samples >> 2
    for b in range(whole):
        packed[b] = (
            (codes[4 * b] & 3)
            | ((codes[4 * b + 1] & 3) << 2)
            | ((codes[4 * b + 2] & 3) << 4)
            | ((codes[4 * b + 3] & 3) << 6)
        )
    for b in range(whole, packed.shape[0]):
        byte = 0
        for j in range(4):
            i = 4 * b + j
            code = codes[i] & 3 if i < n_samples else 3
            byte |= code << (2 * j)
        packed[b] = byte


@jit
def write_row(
    calls: Calls,
    samples: Samples,
    seen: int,
    packed: UInt8Array,
    haploid: UInt8Array,
    counters: Int64Array,
    count: bool,
) -> bool:
    """Put codes (file columns) in store order, pack them, mark haploid and half calls, count; whether any is marked."""
    codes, gathered, source = calls.codes, calls.gathered, samples.source
    n_samples = source.shape[0]
    row = codes
    if not samples.in_order:
        for i in range(n_samples):
            gathered[i] = codes[source[i]]
        row = gathered
    pack_row(row, n_samples, packed)
    any_haploid = False
    if seen & (HALF | HAPLOID | POLYPLOID):
        n_haploid = 0
        n_half = 0
        n_half_haploid = 0
        n_not_observed = 0
        n_polyploid = 0
        for i in range(n_samples):
            code = int(row[i])
            half = (code >> 2) & 1
            n_haploid += (code >> 3) & 1
            n_half += half
            n_half_haploid += half & (code >> 3)
            n_not_observed += half & ((code >> 5) | (code & (code >> 1)))
            n_polyploid += (code >> 4) & 1
        if n_haploid + n_half > 0:
            for i in range(n_samples):
                mark = ((row[i] >> 3) | (row[i] >> 5)) & 1
                any_haploid = any_haploid or mark == 1
                haploid[i >> 3] |= np.uint8(mark << (i & 7))
        if count:
            counters[HAPLOID_CALLS] += n_haploid
            counters[HALF_MISSING] += n_not_observed
            counters[HALF_HAPLOID] += n_half_haploid
            counters[HALF_REFERENCE] += n_half - n_half_haploid - n_not_observed
            counters[POLYPLOID_CALLS] += n_polyploid
    return any_haploid

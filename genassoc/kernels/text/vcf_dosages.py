"""Dosages of a line of VCF in fixed point: how many steps a copy has, the values of the row, and its hard calls."""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.nearest_calls import nearest_calls
from genassoc.kernels.text import vcf_calls as calls
from genassoc.kernels.text.vcf_calls import HAPLOID, Calls, Samples, pack_row
from genassoc.kernels.text.vcf_numbers import BILLION
from genassoc.shapes import Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array

ABSENT = 4_294_967_295  # in place of billionths
NO_DOSAGE = 65535
THOUSANDTHS, OF_PGEN, MOST_STEPS = 1000, 16384, 32767
_THOUSANDTH = BILLION // THOUSANDTHS

# What a field of FORMAT is: `Fields.roles`.
SKIPPED, NUMERIC, GT, DS, GP, HDS, GQ, DP, AD, LGT, LAA, LA, LAD = range(13)

# What is to be said of the dosage of a sample: bits of `Fields.notes`.
DOSED, FROM_CALL, ADJUSTED, UNSOUND, DISAGREES, LOW_GQ, LOW_DP, UNBALANCED = 1, 2, 4, 8, 16, 32, 64, 128

# Bits of `Calls.flags` beside those of `vcf_calls`, only while a line is read: ``.`` alone beside a DS, and ``./.``.
LONE, PAIR = 64, 128


class Fields(NamedTuple):
    """What is read of the fields beside GT: room for a line. Few arrays, as each costs some microseconds a call.

    Attributes
    ----------
    roles : uint8 (256,)
        What each field of FORMAT is.
    notes : uint8 (n_columns,)
        Bits of what is to be said.
    copies : uint32 (4, n_columns)
        Rows `DOSAGE` and `TWO`: copies of one ALT, and probability of two of them, in billionths; `ABSENT` where not known. Haploid
        ones are doubled. Two rows behind: the same of the N samples of the store, in its order.
    ends, numbers : int32, uint32 (any,)
        Where the parts of a line end; each as a number.
    state : int64 (any,)
        `N_DOSED`: rows of dosages that are written; `ANY_KNOWN`: whether the probabilities of any are; of the line, `TOLD` and
        `SEEN`: which bits there are in ``notes`` and in the flags of the calls; from `SHAPE` on what ends each part of a column,
        from `COLONS` on the parts before a colon, from `LOCAL` on the alleles that the local ones of a call mean.
    """

    roles: UInt8Array
    notes: UInt8Array
    copies: UInt32Array
    ends: Int32Array
    numbers: UInt32Array
    state: Int64Array


DOSAGE, TWO, STORED = 0, 1, 2
MOST_PARTS = 8  # of a column, with which a line is read by `genassoc.kernels.text.vcf_regular`
MOST_LOCAL = 256  # alleles of one call's own list
N_DOSED, ANY_KNOWN, TOLD, SEEN, SHAPE, COLONS, LOCAL = 0, 1, 2, 3, 4, 4 + MOST_PARTS, 4 + 2 * MOST_PARTS


def fields_of(samples: Samples) -> Fields:
    """Room for the fields of a line."""
    n = samples.n_columns
    parts = MOST_PARTS * n + 128
    return Fields(
        np.zeros(256, np.uint8), np.zeros(n, np.uint8), np.empty((4, n), np.uint32), np.empty(parts, np.int32),
        np.empty(parts, np.uint32), np.zeros(LOCAL + MOST_LOCAL, np.int64),
    )  # fmt: skip


class DosageRoom(NamedTuple):
    """Rows of output that dosages fill.

    Attributes
    ----------
    steps : uint16 (.,)
        Of each row; 0 where it has calls only.
    values, homozygous : uint16 (., N)
        As in `genassoc.data.block.DosageRows`; ``homozygous`` has no row where probabilities are not wanted.
    """

    steps: UInt16Array
    values: UInt16Array
    homozygous: UInt16Array


@jit
def _within_printed_digits(x: int) -> bool:
    """Whether a dosage in billionths is a 16384th rounded to the digits that it is written with, as PLINK 2 writes them."""
    scaled = x * OF_PGEN
    off = abs(scaled - (scaled + BILLION // 2) // BILLION * BILLION)  # in billionths of a step
    unit = 100_000  # of the last digit, in billionths: four digits are written for any 16384th
    while unit > 1 and x % unit != 0:
        unit //= 10
    return 2 * off <= unit * OF_PGEN


@jit
def _steps_of(dosage: UInt32Array) -> int:
    """Steps of a copy in which a row is exact; `MOST_STEPS` where there are none."""
    thousandths = True
    for i in range(dosage.shape[0]):
        thousandths = thousandths and (dosage[i] == ABSENT or dosage[i] % _THOUSANDTH == 0)
    if thousandths:
        return THOUSANDTHS
    for i in range(dosage.shape[0]):
        if dosage[i] != ABSENT and not _within_printed_digits(int(np.int64(dosage[i]))):
            return MOST_STEPS
    return OF_PGEN


@jit
def _halve_haploid(dosage: UInt32Array, flags: UInt8Array, source: Int64Array, back: bool) -> None:
    """Make dosages of haploid samples those of their one copy, or double them again."""
    for i in range(dosage.shape[0]):
        if flags[source[i]] & HAPLOID and dosage[i] != ABSENT:
            dosage[i] = 2 * dosage[i] if back else dosage[i] // 2


@jit
def settle_lone(seen: int, flags: UInt8Array, dosage: UInt32Array) -> int:
    """Make calls ``.`` with a DS haploid where the record says so, take off bits `LONE` and `PAIR`; the bits seen.

    A writer that has ``./.`` or haploid calls in the record tells ploidy by the number of alleles: there ``.`` is one allele, and its
    DS that of one copy (PLINK 2 writes males on X so whose allele is uncertain). Not so where one of them has a DS above 1.
    """
    if seen & (LONE | PAIR) == 0:
        return seen
    one = seen & LONE > 0 and seen & (HAPLOID | PAIR) > 0
    for j in range(flags.shape[0]):
        one = one and not (flags[j] & LONE and dosage[j] != ABSENT and dosage[j] > BILLION)
    for j in range(flags.shape[0]):
        if one and flags[j] & LONE and dosage[j] != ABSENT:
            dosage[j] *= 2
            flags[j] |= HAPLOID
        flags[j] &= LONE - 1
    return (seen | (HAPLOID if one else 0)) & (LONE - 1)


@jit
def write_dosages(
    line: Calls,
    fields: Fields,
    samples: Samples,
    room: DosageRoom,
    packed: UInt8Array,
    haploid: UInt8Array,
    row: int,
) -> int:
    """Put the dosages of a line into the next row of ``room`` and their hard calls into ``packed``.

    Returns 0 if no sample of the store has a dosage (nothing is written then), else 1, and 2 more where any is haploid.
    """
    source, flags, codes = samples.source, line.flags, line.gathered
    N = source.shape[0]
    dosage, homozygous = fields.copies[DOSAGE], fields.copies[TWO]
    with_probabilities = room.homozygous.shape[0] > 0
    told, seen = fields.state[TOLD], fields.state[SEEN]
    if not samples.in_order:
        dosage, homozygous = fields.copies[STORED + DOSAGE][:N], fields.copies[STORED + TWO][:N]
        told, seen = 0, 0
        for i in range(N):
            j = source[i]
            dosage[i] = fields.copies[DOSAGE, j]
            homozygous[i] = fields.copies[TWO, j]
            told |= fields.notes[j]
            seen |= flags[j]
    if told & DOSED == 0:
        return 0
    has_haploid = seen & HAPLOID > 0
    if has_haploid:
        _halve_haploid(dosage, flags, source, False)
    steps = _steps_of(dosage)
    if has_haploid:
        _halve_haploid(dosage, flags, source, True)
    d = fields.state[N_DOSED]
    fields.state[N_DOSED] = d + 1
    room.steps[row] = steps
    values = room.values[d]
    if steps == THOUSANDTHS:
        for i in range(N):
            # copies * steps
            values[i] = NO_DOSAGE if dosage[i] == ABSENT else dosage[i] // np.uint32(_THOUSANDTH)
    else:
        for i in range(N):
            x = np.int64(dosage[i])
            values[i] = NO_DOSAGE if dosage[i] == ABSENT else (x * steps + BILLION // 2) // BILLION
    if has_haploid:
        for i in range(N):
            if flags[source[i]] & HAPLOID and dosage[i] != ABSENT:
                # twice the probability of ALT, which is in whole steps itself
                values[i] = 2 * ((np.int64(dosage[i]) * steps + BILLION) // (2 * BILLION))
                haploid[i >> 3] |= np.uint8(1 << (i & 7))
    if with_probabilities:
        two = room.homozygous[d]
        n_known = 0
        for i in range(N):
            x = np.int64(values[i])
            h = (np.int64(homozygous[i]) * steps + BILLION // 2) // BILLION
            # P(0), P(1) and P(2) are not below 0: rounded digits may say so
            h = max(min(h, x // 2), x - steps)
            known = homozygous[i] != ABSENT and x != NO_DOSAGE
            two[i] = h if known else NO_DOSAGE
            n_known += int(known)
        fields.state[ANY_KNOWN] |= int(n_known > 0)
        if has_haploid:
            for i in range(N):
                if flags[source[i]] & HAPLOID and two[i] != NO_DOSAGE:
                    two[i] = values[i] // 2
    nearest_calls(values, steps, codes)
    if has_haploid:
        for i in range(N):
            if codes[i] == 1 and flags[source[i]] & HAPLOID:
                codes[i] = 3  # one copy is all or nothing
    pack_row(codes, N, packed)
    return 3 if has_haploid else 1


@jit
def count_notes(line: Calls, fields: Fields, samples: Samples, dosed: bool, counters: Int64Array) -> None:
    """Add what is to be said of the samples of the store to the counters; ``dosed``: the record's rows have dosages."""
    source, notes, flags = samples.source, fields.notes, line.flags
    if fields.state[TOLD] & ~DOSED == 0 and (not dosed or fields.state[SEEN] == 0):
        return
    for i in range(source.shape[0]):
        j = source[i]
        note = int(notes[j])
        if note & LOW_GQ:
            counters[calls.MASKED_GQ] += 1
        elif note & LOW_DP:
            counters[calls.MASKED_DP] += 1
        elif note & UNBALANCED:
            counters[calls.MASKED_BALANCE] += 1
        if dosed:
            flag = int(flags[j])
            counters[calls.FROM_CALLS] += int(note & FROM_CALL > 0)
            counters[calls.ADJUSTED] += int(note & ADJUSTED > 0)
            counters[calls.UNSOUND] += int(note & UNSOUND > 0)
            counters[calls.DISAGREES] += int(note & DISAGREES > 0)
            counters[calls.HAPLOID_CALLS] += int(flag & HAPLOID > 0)
            counters[calls.POLYPLOID_CALLS] += int(flag & calls.POLYPLOID > 0)
            if flag & calls.HALF and fields.copies[DOSAGE, j] == ABSENT:
                counters[calls.HALF_MISSING] += 1

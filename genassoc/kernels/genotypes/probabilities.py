"""Probabilities of genotypes as BGEN codes them into dosages and probabilities of two copies, row by row, one row an ALT.

The diploid with two alleles in 8 or 16 bits, phased or not, have loops of their own; whatever else there is goes sample by sample.
A row of whole calls only keeps no dosages.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit, native
from genassoc.kernels.genotypes.nearest_calls import pack_nearest
from genassoc.kernels.text.vector_bytes import word_at
from genassoc.shapes import Int64Array, UInt8Array, UInt16Array, UInt32Array

NO_DOSAGE = 65535
MOST_STEPS = 32767
LAYOUT_1 = 32768  # steps of a probability there
MOST_LAYOUT_1 = 33095  # 1.01: each is rounded by itself, and some programs rounded coarsely
HEAD = 10  # bytes before the probabilities of layout 2, beside a byte a sample: samples, alleles, two ploidies, phased, bits
MOST_PLOIDY = 63
MOST_VALUES = 2**40  # more values than any block has
# What is wrong with a block.
OK, CUT, OTHER_SAMPLES, OTHER_ALLELES, BAD_PLOIDY, BAD_PHASE, BAD_BITS, OTHER_SIZE, BAD_SUM = range(9)
_TWO_OF_16 = MOST_STEPS / 65535.0**2  # steps of the product of two probabilities of 16 bits
# Columns of a block's head.
AT, SIZE, ALLELES = 0, 1, 2
N_HEAD = 3
STATUS_CODE, STATUS_BLOCK, STATUS_SAMPLE, STATUS_DOSAGES, STATUS_HAPLOID, STATUS_POLYPLOID, STATUS_NULL = range(7)
N_STATUS = 7


class Bytes(NamedTuple):
    """Inflated blocks, 8 bytes and more to spare behind.

    Attributes
    ----------
    data : uint8 (L,)
    pairs : uint16 (L / 2,)
    quads : uint32 (L / 4,)
        The same memory.
    """

    data: UInt8Array
    pairs: UInt16Array
    quads: UInt32Array


class Samples(NamedTuple):
    """Whose genotypes are wanted.

    Attributes
    ----------
    columns : int64 (N,)
        The file's sample of each of the store's.
    places : int64 (samples of the file,)
        The store's sample of each of the file's, or -1.
    in_order : bool
        All, in the file's order.
    reference_last : bool
        Whether the last allele is REF, not the first.
    """

    columns: Int64Array
    places: Int64Array
    in_order: bool
    reference_last: bool


class Rows(NamedTuple):
    """Rows to be filled, as `genassoc.data.block.DosageRows` and `VariantBatch` say.

    Attributes
    ----------
    values, homozygous : uint16 (V, N)
        The first D rows are filled.
    steps : uint16 (V,)
    packed : uint8 (V, B)
    haploid : uint8 (V, ceil(N / 8))
        Zeros before.
    marked : uint8 (V,)
        Whether a row has haploid calls.
    """

    values: UInt16Array
    homozygous: UInt16Array
    steps: UInt16Array
    packed: UInt8Array
    haploid: UInt8Array
    marked: UInt8Array


class Work(NamedTuple):
    """Room for one thread.

    Attributes
    ----------
    codes : uint8 (N rounded up to 32,)
    n_values : int64 (64,)
        Probabilities that a sample of each ploidy has in the file.
    pairs, quads, marks : uint16, uint32, uint8 (N,)
        The probabilities and ploidies of those samples that are wanted.
    alleles : int64 (4, K)
        Of a sample: copies, probability of two copies, and the two haplotypes.
    whole : uint8 (K,)
    """

    codes: UInt8Array
    n_values: Int64Array
    pairs: UInt16Array
    quads: UInt32Array
    marks: UInt8Array
    alleles: Int64Array
    whole: UInt8Array


# In the two loops that follow every operation is cast to as few bits as hold it: as many samples fill a vector.


@jit
def _whole_8(
    pairs: UInt16Array, marks: UInt8Array, phased: bool, last: bool, values: UInt16Array, homozygous: UInt16Array
) -> int:
    """Diploid, two alleles, 8 bits: 1 where all calls are whole, 0 where not, -1 where probabilities are more than 1.

    ``a, b`` are P(11), P(12), or P(1) of each haplotype: copies of the second allele are 2 - 2 P(11) - P(12), or 2 - a - b.
    """
    U = np.uint16
    ones = U(255)
    sums, part = U(0), U(0)  # bits of all sums, and of what is 0 only where a call is whole
    for i in range(values.shape[0]):
        pair = pairs[i]
        a, b = U(pair & ones), U(pair >> U(8))
        missing = U(NO_DOSAGE) if marks[i] > 127 else U(0)
        observed = U(~missing)
        if phased:
            x, y = (a, b) if last else (U(ones - a), U(ones - b))
            t = U(U(x * y) + U(128))
            copies, two = U(x + y), U(U(t + U(t >> U(8))) >> U(8))  # two: the nearest to x y / 255
            mixed = U(U(x * U(ones - x)) | U(y * U(ones - y)))
        else:
            both = U(a + b)
            rest = U(ones - min(both, ones))
            two = a if last else rest
            copies = U(U(two + two) + b)
            sums = U(sums | U(both & observed))
            # of three that sum to 255 no two are above 0
            mixed = U(U(a * b) | U(rest * min(both, ones)))
        values[i] = U(copies | missing)
        homozygous[i] = U(two | missing)
        part = U(part | U(mixed & observed))
    return -1 if sums > 255 else int(part == 0)


@jit
def _whole_16(
    quads: UInt32Array, marks: UInt8Array, phased: bool, last: bool, values: UInt16Array, homozygous: UInt16Array
) -> int:
    """As `_whole_8`, of 16 bits, rounded to 32767 steps.

    The nearest to c 32767 / 65535 is half of c, or of c - 1 where c is above 65535, without its fraction; none is half-way.
    """
    U = np.uint32
    ones, steps = U(65535), U(MOST_STEPS)
    sums, part = U(0), U(0)
    for i in range(values.shape[0]):
        quad = quads[i]
        a, b = U(quad & ones), U(quad >> U(16))
        missing = U(0xFFFFFFFF) if marks[i] > 127 else U(0)
        observed = U(~missing)
        if phased:
            x, y = (a, b) if last else (U(ones - a), U(ones - b))
            copies = U(x + y)
            two = U(float(x) * float(y) * _TWO_OF_16 + 0.5)
            mixed = U(min(x, U(ones - x)) | min(y, U(ones - y)))
        else:
            both = U(a + b)
            rest = U(ones - min(both, ones))
            x = a if last else rest
            copies, two = U(U(x + x) + b), U(x >> U(1))
            sums = U(sums | (both & observed))
            mixed = U(min(a, b) | min(rest, both))
        value = U(U(copies - (U(1) if copies > ones else U(0))) >> U(1))
        # rounded apart, they might leave a heterozygote or REF less than nothing
        least = U(max(value, steps) - steps)
        two = max(min(two, U(value >> U(1))), least)
        values[i] = np.uint16(value | missing)
        homozygous[i] = np.uint16(two | missing)
        part = U(part | U(mixed & observed))
    return -1 if sums > ones else int(part == 0)


@jit
def _layout_1(
    pairs: UInt16Array, samples: Samples, values: UInt16Array, homozygous: UInt16Array, status: Int64Array
) -> int:
    """Three probabilities a sample; as `_whole_8`. None is known where all are 0; others are scaled to sum to 1."""
    whole = 1
    for i in range(values.shape[0]):
        s = samples.columns[i]
        first, one, last = int(np.int64(pairs[3 * s])), int(np.int64(pairs[3 * s + 1])), int(np.int64(pairs[3 * s + 2]))
        total = first + one + last
        if total == 0:
            values[i] = homozygous[i] = NO_DOSAGE
            continue
        if total > MOST_LAYOUT_1:
            status[STATUS_SAMPLE] = s
            return -1
        two = first if samples.reference_last else last
        if abs(total - LAYOUT_1) > 1:
            status[STATUS_NULL] += 1
        value = (2 * (2 * two + one) * MOST_STEPS + total) // (2 * total)
        pair = (2 * two * MOST_STEPS + total) // (2 * total)
        values[i] = value
        homozygous[i] = max(min(pair, value >> 1), value - MOST_STEPS)
        if not (first == total or one == total or last == total):
            whole = 0
    return whole


@jit
def _count_values(K: int, phased: bool, n_values: Int64Array) -> None:
    """Values of a sample of each ploidy: ploidy (K - 1), or the genotypes of so many alleles but one."""
    n_values[0] = 0
    genotypes = 1
    for ploidy in range(1, MOST_PLOIDY + 1):
        genotypes = min(genotypes * (K - 1 + ploidy) // ploidy, MOST_VALUES)  # whole: C(ploidy + K - 1, ploidy)
        n_values[ploidy] = ploidy * (K - 1) if phased else genotypes - 1


@jit
def _value(data: UInt8Array, bit: int, bits: int) -> int:
    """A number of up to 32 bits from any bit on."""
    word = word_at(data, bit >> 3) >> np.uint64(bit & 7)
    return int(np.int64(word & ((np.uint64(1) << np.uint64(bits)) - np.uint64(1))))


@jit
def _copies(data: UInt8Array, bit: int, bits: int, ploidy: int, phased: bool, K: int, alleles: Int64Array) -> bool:
    """Copies and probability of two of each allele, in units of all ones; whether probabilities sum to 1 at most."""
    ones = (1 << bits) - 1
    copies, pairs = alleles[0], alleles[1]
    for k in range(K):
        copies[k] = pairs[k] = 0
    if phased or ploidy == 1:
        for h in range(ploidy):
            rest = ones
            for k in range(K - 1):
                p = _value(data, bit, bits)
                bit += bits
                alleles[2 + h, k] = p
                rest -= p
            if rest < 0:
                return False
            alleles[2 + h, K - 1] = rest
        for k in range(K):
            copies[k] = alleles[2, k] + alleles[3, k] if ploidy == 2 else alleles[2, k]
        return True
    rest = ones
    for k in range(K):
        for j in range(k + 1):
            if j == K - 1:
                p = rest
            else:
                p = _value(data, bit, bits)
                bit += bits
                rest -= p
                if rest < 0:
                    return False
            copies[j] += p
            copies[k] += p
            if j == k:
                pairs[k] = p
    return True


@jit
def _rounded(x: int, ones: int, steps: int) -> int:
    """x of ``ones`` in steps, to the nearest."""
    return x if ones == steps else (2 * x * steps + ones) // (2 * ones)


@jit
def _any_rows(
    data: UInt8Array,
    block: tuple[int, int, int],
    shape: tuple[int, bool, int],
    samples: Samples,
    out: Rows,
    at: tuple[int, int],
    work: Work,
    status: Int64Array,
) -> int:
    """All rows of a block whatever its ploidies, alleles and bits; how many keep dosages, or -1 where probabilities are more than 1."""
    flags, first, n_file = block
    K, phased, bits = shape
    v0, d0 = at
    ones = (1 << bits) - 1
    steps = min(ones, MOST_STEPS)
    skipped = K - 1 if samples.reference_last else 0
    for k in range(K):
        work.whole[k] = 1
    bit = 8 * first
    for s in range(n_file):
        flag = int(np.int64(data[flags + s]))
        ploidy, i = flag & 63, samples.places[s]
        if i >= 0:
            observed = flag < 128 and 1 <= ploidy <= 2
            if flag < 128 and ploidy > 2:
                status[STATUS_POLYPLOID] += 1
            if observed and not _copies(data, bit, bits, ploidy, phased, K, work.alleles):
                status[STATUS_SAMPLE] = s
                return -1
            if observed and ploidy == 1:
                status[STATUS_HAPLOID] += 1
            row = 0
            for k in range(K):
                if k == skipped:
                    continue
                value = pair = NO_DOSAGE
                if observed:
                    x = work.alleles[0, k]
                    if ploidy == 1:
                        pair = _rounded(x, ones, steps)
                        value = 2 * pair
                        out.haploid[v0 + row, i >> 3] |= np.uint8(1 << (i & 7))
                        out.marked[v0 + row] = 1
                        whole = x == 0 or x == ones
                    else:
                        two = work.alleles[1, k]
                        value = _rounded(x, ones, steps)
                        pair = _rounded(two, ones, steps)
                        whole = x == 0 or x == 2 * ones or (x == ones and two == 0)
                        if phased:
                            y = work.alleles[2, k]
                            pair = int(float(y) * float(x - y) / ones * (steps / ones) + 0.5)
                            whole = (y == 0 or y == ones) and (x == y or x - y == ones)
                        pair = max(min(pair, value >> 1), value - steps)
                    if not whole:
                        work.whole[k] = 0
                out.values[d0 + row, i] = value
                out.homozygous[d0 + row, i] = pair
                row += 1
        bit += work.n_values[ploidy] * bits
    return steps


@jit
def _finish_row(out: Rows, v: int, d: int, steps: int, whole: bool, codes: UInt8Array) -> int:
    """Calls of a row whose dosages lie at ``d``; where the next row's go."""
    pack_nearest(out.values[d], steps, codes, out.packed[v])
    if out.marked[v]:
        for i in range(out.values.shape[1]):
            if (out.haploid[v, i >> 3] >> (i & 7)) & 1 and (out.packed[v, i >> 2] >> (2 * (i & 3))) & 3 == 1:
                out.packed[v, i >> 2] |= np.uint8(3 << (2 * (i & 3)))  # one copy is no heterozygote
    out.steps[v] = 0 if whole else steps
    return d if whole else d + 1


@jit
def _shape(
    data: UInt8Array, head: Int64Array, n_file: int, work: Work, status: Int64Array
) -> tuple[int, bool, bool, int]:
    """Bits, phased, whether all are diploid, and what is wrong (`OK` if nothing) with a block of layout 2."""
    at, size, K = head[AT], head[SIZE], head[ALLELES]
    if size < HEAD + n_file:
        return 0, False, False, CUT
    N = (
        int(np.int64(data[at]))
        | int(np.int64(data[at + 1])) << 8
        | int(np.int64(data[at + 2])) << 16
        | int(np.int64(data[at + 3])) << 24
    )
    if N != n_file:
        return 0, False, False, OTHER_SAMPLES
    if (int(np.int64(data[at + 4])) | int(np.int64(data[at + 5])) << 8) != K:
        return 0, False, False, OTHER_ALLELES
    least, most = int(np.int64(data[at + 6])), int(np.int64(data[at + 7]))
    if least > most or most > MOST_PLOIDY:
        return 0, False, False, BAD_PLOIDY
    phased, bits = int(np.int64(data[at + 8 + N])), int(np.int64(data[at + 9 + N]))
    if phased > 1:
        return 0, False, False, BAD_PHASE
    if bits < 1 or bits > 32:
        return 0, False, False, BAD_BITS
    flags = data[at + 8 : at + 8 + N]
    diploid = False
    total = 2 * (K - 1) * N if phased else (K * (K + 1) // 2 - 1) * N
    if least == 2 and most == 2:
        other = 0
        for s in range(N):
            other |= (int(np.int64(flags[s])) & 63) ^ 2
        diploid = other == 0
    if not diploid:
        _count_values(K, phased == 1, work.n_values)
        total = 0
        for s in range(N):
            ploidy = int(np.int64(flags[s])) & 63
            if ploidy < least or ploidy > most:
                status[STATUS_SAMPLE] = s
                return 0, False, False, BAD_PLOIDY
            total = min(total + work.n_values[ploidy], MOST_VALUES)
    elif K != 2 or (bits != 8 and bits != 16):
        _count_values(K, phased == 1, work.n_values)
    if (total * bits + 7) // 8 != size - HEAD - N:
        return 0, False, False, OTHER_SIZE
    return bits, phased == 1, diploid, OK


@native
def read_probabilities(
    raw: Bytes,
    heads: Int64Array,
    layout: int,
    samples: Samples,
    out: Rows,
    done: Int64Array,
    work: Work,
    status: Int64Array,
) -> None:
    """Fill rows from inflated blocks.

    Parameters
    ----------
    raw : Bytes
    heads : int64 (blocks, `N_HEAD`)
        Where each begins, its bytes, its alleles (at most as many as ``work`` has room for).
        A block of layout 2 begins so that its probabilities are at a multiple of 4, one of layout 1 at an even byte.
    layout : int
    samples : Samples
    out : Rows
        Room for a row an ALT and block.
    done : int64 (2,)
        Rows that are filled already, and how many of them keep dosages; brought up to date.
    work : Work
    status : int64 (`N_STATUS`,)
        Filled: what is wrong, with which block and sample of the file; counts of calls are added.
    """
    data = raw.data
    n_file = samples.places.shape[0]
    v, d = done[0], done[1]
    status[STATUS_CODE] = OK
    for b in range(heads.shape[0]):
        head = heads[b]
        at, K = head[AT], head[ALLELES]
        status[STATUS_BLOCK], status[STATUS_SAMPLE] = b, -1
        if layout == 1:
            if head[SIZE] != 6 * n_file:
                status[STATUS_CODE] = OTHER_SIZE
                return
            first = at // 2
            whole = _layout_1(raw.pairs[first : first + 3 * n_file], samples, out.values[d], out.homozygous[d], status)
            if whole < 0:
                status[STATUS_CODE] = BAD_SUM
                return
            d = _finish_row(out, v, d, MOST_STEPS, whole == 1, work.codes)
            v += 1
            continue
        bits, phased, diploid, wrong = _shape(data, head, n_file, work, status)
        if wrong != OK:
            status[STATUS_CODE] = wrong
            return
        flags, first = at + 8, at + HEAD + n_file
        if diploid and K == 2 and (bits == 8 or bits == 16):
            marks = data[flags : flags + n_file]
            if not samples.in_order:
                for i in range(samples.columns.size):
                    work.marks[i] = marks[samples.columns[i]]
                marks = work.marks
            values, homozygous = out.values[d], out.homozygous[d]
            if bits == 8:
                pairs = raw.pairs[first // 2 : first // 2 + n_file]
                if not samples.in_order:
                    for i in range(samples.columns.size):
                        work.pairs[i] = pairs[samples.columns[i]]
                    pairs = work.pairs
                whole = _whole_8(pairs, marks, phased, samples.reference_last, values, homozygous)
            else:
                quads = raw.quads[first // 4 : first // 4 + n_file]
                if not samples.in_order:
                    for i in range(samples.columns.size):
                        work.quads[i] = quads[samples.columns[i]]
                    quads = work.quads
                whole = _whole_16(quads, marks, phased, samples.reference_last, values, homozygous)
            if whole < 0:
                status[STATUS_CODE] = BAD_SUM
                return
            d = _finish_row(out, v, d, 255 if bits == 8 else MOST_STEPS, whole == 1, work.codes)
            v += 1
            continue
        if K < 2:
            continue
        steps = _any_rows(data, (flags, first, n_file), (K, phased, bits), samples, out, (v, d), work, status)
        if steps < 0:
            status[STATUS_CODE] = BAD_SUM
            return
        d0 = d
        row = 0
        for k in range(K):
            if k == (K - 1 if samples.reference_last else 0):
                continue
            if d != d0 + row:  # rows of whole calls before it keep no dosages
                for i in range(out.values.shape[1]):
                    out.values[d, i] = out.values[d0 + row, i]
                    out.homozygous[d, i] = out.homozygous[d0 + row, i]
            d = _finish_row(out, v, d, steps, work.whole[k] == 1, work.codes)
            v += 1
            row += 1
    done[0], done[1] = v, d

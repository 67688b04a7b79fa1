"""What pairs of samples have in common: counts of pairs of genotypes, from planes of bits that hold 64 variants a word.

Calls lie in tiles: of `TILE_SAMPLES` samples all variants, packed as elsewhere, eight words a variant. A chunk of a tile's variants is turned
into planes, one row a sample; what two samples have in common is then a popcount of ANDs. Calls that are not observed are few: what
they take away is counted from lists of them, in counters that are planes of bits themselves, 32 samples a word. All sums are whole numbers.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.counts import popcount
from genassoc.shapes import Float64Array, Int64Array, UInt16Array, UInt64Array

TILE_SAMPLES = 256
TILE_WORDS = TILE_SAMPLES // 32
CHUNK_WORDS = 128
CHUNK_VARIANTS = (
    64 * CHUNK_WORDS
)  # planes of a tile and a chunk take 1 MB, those of a band of samples fit a second-level cache
LEVELS = 32  # of the counters: they count to 2**32 - 1
_BAND = 32  # samples whose planes of a chunk, 96 KB, are kept close while all others pass by

# numba turns uint64 with a signed integer into float64: every constant of the bit arithmetic is uint64.
_ONE = np.uint64(1)
_ALL, _FIELDS = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0x5555555555555555)


class Planes(NamedTuple):
    """A chunk of a tile's variants, sample by sample.

    Attributes
    ----------
    het, ref, alt, missing : uint64 array (TILE_SAMPLES, CHUNK_WORDS)
        Variant v of the chunk is bit ``v % 64`` of word ``v // 64``: heterozygous, two REF, two ALT, not observed (as are variants
        behind the last).
    flags : uint64 array (CHUNK_VARIANTS, TILE_WORDS)
        Variant by variant, two bits a sample as packed: the low one says heterozygous, the high one not observed.
    lists : uint16 array (TILE_SAMPLES, CHUNK_VARIANTS)
        Variants in which a sample is not observed, ascending, those behind the last left out ...
    n_listed : int64 array (TILE_SAMPLES,)
        ... and how many they are.
    n_words : int64 array (1,)
        Words in use, those of variants: the others hold what was there.
    """

    het: UInt64Array
    ref: UInt64Array
    alt: UInt64Array
    missing: UInt64Array
    flags: UInt64Array
    lists: UInt16Array
    n_listed: Int64Array
    n_words: Int64Array


def planes_of_chunk() -> Planes:
    """Room for the planes of a chunk."""
    het, ref, alt, missing = (np.empty((TILE_SAMPLES, CHUNK_WORDS), np.uint64) for _ in range(4))
    flags = np.empty((CHUNK_VARIANTS, TILE_WORDS), np.uint64)
    lists = np.empty((TILE_SAMPLES, CHUNK_VARIANTS), np.uint16)
    n_listed, n_words = np.zeros(TILE_SAMPLES, np.int64), np.zeros(1, np.int64)
    return Planes(het, ref, alt, missing, flags, lists, n_listed, n_words)


class Shared(NamedTuple):
    """What the pairs of two tiles have in common so far: of samples i of the left tile and j of the right one.

    Attributes
    ----------
    hethet, ibs0 : int64 array (TILE_SAMPLES, TILE_SAMPLES)
        Variants in which both are heterozygous; in which one has two REF and the other two ALT.
    dense : int64 array (3, TILE_SAMPLES, TILE_SAMPLES)
        Of chunks where many calls are not observed: at (j, i) variants in which i is heterozygous and j not observed; at (i, j) those
        in which i is not observed and j heterozygous; at (j, i) those in which neither is observed.
    of_left, of_right : uint64 array (TILE_SAMPLES, LEVELS, TILE_WORDS)
        The same of all other chunks, as planes of counters: word w of level k has bit k of the counters of samples ``32 w`` and on of
        the left (right) tile, two bits a sample: variants in which it is heterozygous (not observed), and the sample of the
        first axis, of the other tile, is not observed.
    n_behind : int64 array (1,)
        Variants behind the last that ``dense`` counts.
    """

    hethet: Int64Array
    ibs0: Int64Array
    dense: Int64Array
    of_left: UInt64Array
    of_right: UInt64Array
    n_behind: Int64Array


def shared_of_tiles() -> Shared:
    """Room for sums of two tiles, all zero."""
    hethet, ibs0 = (np.zeros((TILE_SAMPLES, TILE_SAMPLES), np.int64) for _ in range(2))
    dense = np.zeros((3, TILE_SAMPLES, TILE_SAMPLES), np.int64)
    of_left, of_right = (np.zeros((TILE_SAMPLES, LEVELS, TILE_WORDS), np.uint64) for _ in range(2))
    return Shared(hethet, ibs0, dense, of_left, of_right, np.zeros(1, np.int64))


@jit
def turn(rows: UInt64Array) -> None:
    """Transpose matrices of 64 x 64 bits, one row a word (Warren, Hacker's Delight, 7-3), side by side: rows (64, M), in place.

    Bit b of row a becomes bit a of row b.
    """
    step = 32
    mask = np.uint64(0x00000000FFFFFFFF)
    while step:
        shift = np.uint64(step)
        for first in range(0, 64, 2 * step):
            for k in range(first, first + step):
                for m in range(TILE_WORDS):
                    other = (rows[k, m] >> shift ^ rows[k + step, m]) & mask
                    rows[k + step, m] ^= other
                    rows[k, m] ^= other << shift
        step >>= 1
        mask ^= mask << np.uint64(step)


@jit
def to_sample_planes(words: UInt64Array, planes: Planes) -> None:
    """Planes of a chunk of a tile: ``words`` (V, TILE_WORDS) are its packed calls, V at most `CHUNK_VARIANTS`."""
    V = words.shape[0]
    rows = np.empty((64, TILE_WORDS), np.uint64)
    for v in range(V):
        for w in range(TILE_WORDS):
            one, two = words[v, w] & _FIELDS, (words[v, w] >> _ONE) & _FIELDS
            planes.flags[v, w] = (one & ~two) | ((one & two) << _ONE)
    for i in range(TILE_SAMPLES):
        planes.n_listed[i] = 0
    planes.n_words[0] = (V + 63) // 64
    for p in range(planes.n_words[0]):
        known = min(64, V - 64 * p)
        within = _ALL if known == 64 else (_ONE << np.uint64(known)) - _ONE
        for v in range(64):
            for w in range(TILE_WORDS):
                rows[v, w] = words[64 * p + v, w] if v < known else _ALL
        turn(rows)
        for w in range(TILE_WORDS):
            for k in range(32):
                i, low, high = 32 * w + k, rows[2 * k, w], rows[2 * k + 1, w]
                planes.het[i, p], planes.alt[i, p] = low & ~high, high & ~low
                planes.ref[i, p], planes.missing[i, p] = ~(low | high), low & high
                left = low & high & within
                while left:
                    planes.lists[i, planes.n_listed[i]] = 64 * p + popcount((left - _ONE) & ~left)
                    planes.n_listed[i] += 1
                    left &= left - _ONE


@jit
def add_shared(left: Planes, right: Planes, shared: Shared) -> None:
    """Add a chunk to ``hethet`` and ``ibs0`` of all pairs."""
    n_words = left.n_words[0]
    for band in range(0, TILE_SAMPLES, _BAND):
        for i in range(0, TILE_SAMPLES, 2):
            het, ref, alt = left.het[i], left.ref[i], left.alt[i]
            het_2, ref_2, alt_2 = left.het[i + 1], left.ref[i + 1], left.alt[i + 1]
            for j in range(band, band + _BAND):
                its_het, its_ref, its_alt = right.het[j], right.ref[j], right.alt[j]
                both = both_2 = ibs0 = ibs0_2 = 0
                for p in range(n_words):
                    both += popcount(het[p] & its_het[p])
                    ibs0 += popcount((ref[p] & its_alt[p]) | (alt[p] & its_ref[p]))
                    both_2 += popcount(het_2[p] & its_het[p])
                    ibs0_2 += popcount((ref_2[p] & its_alt[p]) | (alt_2[p] & its_ref[p]))
                shared.hethet[i, j] += both
                shared.ibs0[i, j] += ibs0
                shared.hethet[i + 1, j] += both_2
                shared.ibs0[i + 1, j] += ibs0_2


@jit
def add_missing_dense(left: Planes, right: Planes, shared: Shared) -> None:
    """Add a chunk to ``dense``; variants behind the last, of its last word, count as not observed in both."""
    n_words = left.n_words[0]
    for band in range(0, TILE_SAMPLES, _BAND):
        for i in range(TILE_SAMPLES):
            het, missing = left.het[i], left.missing[i]
            for j in range(band, band + _BAND):
                its_het, its_missing = right.het[j], right.missing[j]
                one = two = both = 0
                for p in range(n_words):
                    one += popcount(het[p] & its_missing[p])
                    two += popcount(missing[p] & its_het[p])
                    both += popcount(missing[p] & its_missing[p])
                shared.dense[0, j, i] += one
                shared.dense[1, i, j] += two
                shared.dense[2, j, i] += both


@jit
def add_missing_listed(flags: UInt64Array, lists: UInt16Array, n_listed: Int64Array, counters: UInt64Array) -> None:
    """Add rows of ``flags`` (V, TILE_WORDS) of one tile, those listed for a sample of the other, to its ``counters``, for each sample.

    Eight rows at a time go through seven full adders, of which one word of weight eight comes out; what is left goes in one by one.
    """
    for j in range(n_listed.size):
        n = n_listed[j]
        whole = n - n % 8
        for w in range(TILE_WORDS):
            ones, twos, fours = counters[j, 0, w], counters[j, 1, w], counters[j, 2, w]
            for k in range(0, whole, 8):
                ones, two = _added(ones, flags[lists[j, k], w], flags[lists[j, k + 1], w])
                ones, two_2 = _added(ones, flags[lists[j, k + 2], w], flags[lists[j, k + 3], w])
                twos, four = _added(twos, two, two_2)
                ones, two = _added(ones, flags[lists[j, k + 4], w], flags[lists[j, k + 5], w])
                ones, two_2 = _added(ones, flags[lists[j, k + 6], w], flags[lists[j, k + 7], w])
                twos, four_2 = _added(twos, two, two_2)
                fours, carry = _added(fours, four, four_2)
                level = 3
                while carry:
                    kept = counters[j, level, w]
                    counters[j, level, w] = kept ^ carry
                    carry &= kept
                    level += 1
            counters[j, 0, w], counters[j, 1, w], counters[j, 2, w] = ones, twos, fours
            for k in range(whole, n):
                carry, level = flags[lists[j, k], w], 0
                while carry:
                    kept = counters[j, level, w]
                    counters[j, level, w] = kept ^ carry
                    carry &= kept
                    level += 1


@jit
def _added(a: np.uint64, b: np.uint64, c: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Sum and carry of three bits, in every place of a word."""
    either = a ^ b
    return either ^ c, (a & b) | (either & c)


@jit
def settle_counts(shared: Shared, totals: Int64Array, n_variants: int, counts: Int64Array) -> None:
    """Counts of all pairs of two tiles, from their sums over all chunks.

    Parameters
    ----------
    shared : Shared
        Its ``dense`` is added to.
    totals : int64 array (2, 2, TILE_SAMPLES)
        Of the samples of the left tile and of the right one: heterozygous calls, and calls that are not observed, of all variants.
    n_variants : int
        All variants.
    counts : int64 array (5, TILE_SAMPLES, TILE_SAMPLES)
        Overwritten: variants observed in both, heterozygous in both, two REF in one and two ALT in the other, heterozygous in the left
        one and homozygous in the right one, and the other way round.
    """
    S = TILE_SAMPLES
    dense = shared.dense
    for j in range(S):
        het, missing, het_2 = dense[0, j], dense[2, j], dense[1, j]
        for level in range(LEVELS):
            for w in range(TILE_WORDS):
                word, first = shared.of_left[j, level, w], 32 * w
                if word:
                    for k in range(32):
                        het[first + k] += np.int64((word >> np.uint64(2 * k) & _ONE) << np.uint64(level))
                        missing[first + k] += np.int64((word >> np.uint64(2 * k + 1) & _ONE) << np.uint64(level))
                word = shared.of_right[j, level, w]
                if word:
                    for k in range(32):
                        het_2[first + k] += np.int64((word >> np.uint64(2 * k) & _ONE) << np.uint64(level))
    behind = shared.n_behind[0]
    for i in range(S):
        for j in range(S):
            both = shared.hethet[i, j]
            counts[0, i, j] = n_variants - totals[0, 1, i] - totals[1, 1, j] + dense[2, j, i] - behind
            counts[1, i, j] = both
            counts[2, i, j] = shared.ibs0[i, j]
            counts[3, i, j] = totals[0, 0, i] - both - dense[0, j, i]
            counts[4, i, j] = totals[1, 0, j] - both - dense[1, i, j]


@jit
def find_related(
    counts: Int64Array, least: float, above_diagonal: bool, found: Int64Array, kinship: Float64Array
) -> int:
    """List pairs whose KING-robust kinship is at least ``least``, row by row; how many.

    Parameters
    ----------
    counts : int64 array (5, S, S)
        Of `settle_counts`; samples that are none have no variant observed with any.
    least : float
        -inf lists every pair of samples in which a variant is observed, those without a kinship too.
    above_diagonal : bool
        Only pairs i < j: the two tiles are the same.
    found : int64 array (S * S, 2)
        i and j; the first ones are overwritten.
    kinship : float64 array (S * S,)
        Their kinship; NaN where one of them has no heterozygous call.
    """
    S = counts.shape[1]
    n = 0
    for i in range(S):
        for j in range(i + 1 if above_diagonal else 0, S):
            if counts[0, i, j] == 0:
                continue
            het = counts[1, i, j] + min(counts[3, i, j], counts[4, i, j])
            # 1/2 - sum((x - y)^2) / (4 min(het, het)) (Manichaikul et al. 2010, equation 11)
            phi = 0.5 - (4 * counts[2, i, j] + counts[3, i, j] + counts[4, i, j]) / (4.0 * het) if het else np.nan
            if phi >= least or (least == -np.inf):
                found[n, 0], found[n, 1], kinship[n] = i, j, phi
                n += 1
    return n

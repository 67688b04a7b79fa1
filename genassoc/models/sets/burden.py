"""Sets of variants as columns: pseudo-variants that any model tests as it tests a variant."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from genassoc.data.block import AUTOSOMAL, X_OUTSIDE_PAR, Block, DosageBlock, GenotypeBlock, Places, places_of
from genassoc.kernels.genotypes import burdens as kernel
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt16Array, UInt64Array

PREDICTOR_STEPS = 2**20  # of one copy, as `DosageBlock` has them of predictors
_LOW = np.uint64(0x5555555555555555)


@dataclass(frozen=True)
class Members:
    """The variants of S columns, as rows of a block.

    Attributes
    ----------
    pointers : int64 array (S + 1,)
    rows : int64 array
        Column s has the variants ``rows[pointers[s]:pointers[s + 1]]``.
    """

    pointers: Int64Array
    rows: Int64Array

    @classmethod
    def of(cls, lists: Sequence[Int64Array]) -> "Members":
        """Those of one list a column."""
        sizes = [one.size for one in lists]
        return cls(
            np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]), np.concatenate([np.zeros(0, np.int64), *lists])
        )

    def __len__(self) -> int:
        return self.pointers.size - 1

    def between(self, first: int, last: int) -> "Members":
        """The columns first to last."""
        a, b = self.pointers[first], self.pointers[last]
        return Members(self.pointers[first : last + 1] - a, self.rows[a:b])

    def __getitem__(self, s: int) -> Int64Array:
        return self.rows[self.pointers[s] : self.pointers[s + 1]]


@dataclass(frozen=True)
class CohortCounts:
    """What the cohort's samples have of the variants of a block, whatever trait is tested.

    Attributes
    ----------
    flipped : bool array (V,)
        Where REF is the minor allele.
    mac, maf : float64 arrays (V,)
        True copies of the minor allele, and its frequency (0 where nobody is observed).
    mean : float64 array (V,)
        Minor alleles of a sample, as the block codes them.
    n_missing : int64 array (V,)
    carriers : float64 array (V,)
        Samples with a minor allele; of dosages, about as many.
    """

    flipped: BoolArray
    mac: Float64Array
    maf: Float64Array
    mean: Float64Array
    n_missing: Int64Array
    carriers: Float64Array

    @classmethod
    def of(cls, block: Block, columns: Int64Array, mask: UInt64Array) -> "CohortCounts":
        """Count them among ``columns`` (N,), which are ``mask``."""
        flipped = minor_is_ref(block, columns, mask)
        sums: GenotypeSums = genotype_sums(block, flipped, columns, mask, list_calls=False)
        mac = sums.mac
        return cls(
            flipped,
            mac,
            mac / np.maximum(sums.n_alleles, 1),
            sums.sum_g / np.maximum(sums.n, 1),
            columns.size - sums.n,
            # sum g - (sum g^2 - sum g) / 2: one for g of 1 and of 2
            np.rint(1.5 * sums.sum_g - 0.5 * sums.sum_g2),
        )


def most_copies(block: Block, counts: CohortCounts, members: Members) -> Block:
    """Of each set, the most minor alleles of any of its variants; who lacks a call has none of it. S rows."""
    if isinstance(block, DosageBlock):
        minor = _minor_dosages(block, counts.flipped, np.zeros(block.n_variants))
        values = np.stack([minor[members[s]].max(axis=0, initial=0.0) for s in range(len(members))])
        steps = _as_stored(block, np.rint(values * block.scale))
        return replace(
            block, values=steps, places=_places(block, members), homozygous=None, haploid=_haploid(block, members)
        )
    words = np.empty((len(members), block.packed.shape[1] // 8), np.uint64)
    kernel.most_copies(_words(block), counts.flipped, members.pointers, members.rows, words)
    return _calls(block, words, members)


def carried(most: Block) -> Block:
    """Of `most_copies`, 1 where there is any; of dosages, one copy at most."""
    if isinstance(most, DosageBlock):
        return replace(most, values=_as_stored(most, np.minimum(most.values, most.scale)))
    words = _words(most)
    some = (words | (words >> np.uint64(1))) & _LOW
    missing = words & (words >> np.uint64(1)) & _LOW
    return replace(most, packed=(some | (missing << np.uint64(1))).view(np.uint8), haploid=None)


def weighted_sums(
    block: Block, counts: CohortCounts, members: Members, weights: Float64Array
) -> tuple[DosageBlock, Float64Array]:
    """Of each set, the sum of weight times minor alleles (a missing call has the mean) as a predictor on 0 to 2; and what 1 of it is, (S,).

    The unit is a power of two, so that sums of equal weights stay whole.
    """
    if isinstance(block, DosageBlock):
        minor = _minor_dosages(block, counts.flipped, counts.mean)
        sums = np.stack(
            [weights[members.pointers[s] : members.pointers[s + 1]] @ minor[members[s]] for s in range(len(members))]
        )
    else:
        sums = np.empty((len(members), block.n_samples))
        kernel.weighted_sums(
            _words(block),
            counts.flipped,
            counts.mean,
            members.pointers,
            members.rows,
            np.ascontiguousarray(weights),
            sums,
        )
    largest = sums.max(axis=1, initial=0.0)
    unit = np.exp2(np.ceil(np.log2(np.where(largest > 0, largest, 1.0) / 2.0)))
    values = np.rint(sums * (PREDICTOR_STEPS / unit)[:, None]).astype(np.uint32)
    made = DosageBlock(values, block.start, _places(block, members), contig=block.contig)
    return made, unit


def with_rows(block: Block, more: Block) -> Block:
    """The rows of two blocks of one kind, one after the other."""
    ours, theirs = places_of(block), places_of(more)
    places = Places(
        np.concatenate([ours.numbers, theirs.numbers]),
        np.concatenate([ours.ploidy, theirs.ploidy]),
        np.concatenate([ours.refused, theirs.refused]),
    )
    haploid = None
    if block.haploid is not None or more.haploid is not None:
        shapes = [(one.n_variants, (one.n_samples + 7) // 8) for one in (block, more)]
        haploid = np.concatenate(
            [
                np.zeros(shape, np.uint8) if one.haploid is None else one.haploid
                for one, shape in zip((block, more), shapes)
            ]
        )
    if isinstance(block, DosageBlock):
        assert isinstance(more, DosageBlock)
        values = np.concatenate([block.values, more.values])
        return replace(block, values=values, places=places, homozygous=None, haploid=haploid)
    assert isinstance(more, GenotypeBlock)
    packed = np.concatenate([block.packed, more.packed])
    return GenotypeBlock(packed, block.n_samples, block.start, haploid, places=places, contig=block.contig)


def _words(block: GenotypeBlock) -> UInt64Array:
    return np.ascontiguousarray(block.packed).view(np.uint64)


def _calls(block: GenotypeBlock, words: UInt64Array, members: Members) -> GenotypeBlock:
    """Rows of codes as a block at the places of their variants; what pads a row is 3, as everywhere."""
    padded = np.zeros(4 * words.shape[1] * 8, np.uint8)
    padded[block.n_samples :] = 1
    slots = np.packbits(np.repeat(padded, 2), bitorder="little").view(np.uint64)
    packed = (words | slots).view(np.uint8)
    return GenotypeBlock(
        packed,
        block.n_samples,
        block.start,
        _haploid(block, members),
        places=_places(block, members),
        contig=block.contig,
    )


def _places(block: Block, members: Members) -> Places:
    """The numbers of no variants; on X where any variant of a set is."""
    of_variants = places_of(block).ploidy
    ploidy = np.full(len(members), AUTOSOMAL, np.uint8)
    for s in range(len(members) if of_variants.any() else 0):
        kinds = of_variants[members[s]]
        if kinds.size:
            ploidy[s] = X_OUTSIDE_PAR if (kinds == X_OUTSIDE_PAR).any() else kinds.max()
    numbers = np.full(len(members), -1, np.int64)
    return replace(Places.autosomal(numbers), ploidy=ploidy)


def _haploid(block: Block, members: Members) -> "np.ndarray | None":
    """Marks of haploid calls: who has a haploid call of any variant has one of the column."""
    if block.haploid is None:
        return None
    marks = np.zeros((len(members), block.haploid.shape[1]), np.uint8)
    for s in range(len(members)):
        marks[s] = np.bitwise_or.reduce(block.haploid[members[s]], axis=0, initial=0)
    return marks


def _minor_dosages(block: DosageBlock, flipped: BoolArray, missing: Float64Array) -> Float64Array:
    """Dosages of the minor allele (V, N), ``missing`` (V,) where not observed."""
    minor = block.dosages()
    minor[flipped] = 2.0 - minor[flipped]
    return np.where(np.isnan(minor), missing[:, None], minor)


def _as_stored(block: DosageBlock, values: Array) -> UInt16Array:
    """Steps in the type of a block's values."""
    kind: type[np.uint16] = block.values.dtype.type  # type: ignore[assignment]
    return values.astype(kind)

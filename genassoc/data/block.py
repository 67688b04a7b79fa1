"""A block of consecutive variants, all samples: the unit of storage, of work, of memory and of restart."""

from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from genassoc.data.schema import NOT_OBSERVED
from genassoc.kernels.genotypes import packed as packed_kernels
from genassoc.kernels.genotypes.counts import count_codes, mask_words
from genassoc.kernels.genotypes.dosage_moments import whole_rows
from genassoc.kernels.genotypes.dosages import N_SUMS, FixedPoint, sum_dosages
from genassoc.shapes import (
    Array,
    BoolArray,
    Float64Array,
    Int64Array,
    UInt8Array,
    UInt16Array,
    UInt32Array,
    UInt64Array,
    packed_bytes,
)

if TYPE_CHECKING:
    from typing import Self

# Values of `Places.ploidy`.
AUTOSOMAL, X_OUTSIDE_PAR, HAPLOID_CHROMOSOME = 0, 1, 2
N_REFUSED = 6  # columns of `Places.refused`


@dataclass(frozen=True)
class Places:
    """Where the V variants of a block lie, where it matters.

    Attributes
    ----------
    numbers : int64 array (V,)
        Their numbers in the store.
    ploidy : uint8 array (V,)
        `AUTOSOMAL` (pseudo-autosomal too), `X_OUTSIDE_PAR` (of samples whose sex is stated), `HAPLOID_CHROMOSOME` (Y, MT).
    refused : int64 array (V, 6)
        Calls taken for missing: heterozygotes where a sample has one copy, calls of females on Y, and half calls (0/.) on
        X, Y and MT of males, of females and of samples of unknown sex. Beside them, half calls of males read as haploid.
    """

    numbers: Int64Array
    ploidy: UInt8Array
    refused: Int64Array

    @classmethod
    def autosomal(cls, numbers: Int64Array) -> "Places":
        """Places on autosomes, where nothing is special."""
        return cls(numbers, np.zeros(numbers.size, np.uint8), np.zeros((numbers.size, N_REFUSED), np.int64))

    def take(self, which: BoolArray | Int64Array) -> "Places":
        """The places of some variants."""
        return Places(self.numbers[which], self.ploidy[which], self.refused[which])


@dataclass(frozen=True)
class GenotypeBlock:
    """Hard calls of V variants x N samples, two bits a call.

    Attributes
    ----------
    packed : uint8 array (V, B)
        ``B = packed_bytes(N)``; layout in `genassoc.kernels.genotypes.packed`.
    n_samples : int
        N, without the padding.
    start : int
        Number of the first variant in the store.
    haploid : uint8 array (V, ceil(N / 8)) or None
        Bit set where the call was haploid; None where no call of the block was.
    places : Places or None
        Where the variants lie; None where they are autosomal and follow ``start`` without a gap.
    genuine : GenotypeBlock or None
        The calls before they were recoded for a model: counts and frequencies are of these. None where they are these.
    single : bool array (N,) or None
        Samples whose codes are 0 and 1, there being one copy: males on X where one ALT of theirs counts one. None where nobody's are.
    contig : str
        The contig of all variants, as the store names it; "" where they lie on several or nobody has said.
    dosages : DosageRows or None
        Dosages of those of the variants that have some, where they were asked for: the calls are then the copies that they are nearest to.
    """

    packed: UInt8Array
    n_samples: int
    start: int = 0
    haploid: UInt8Array | None = None
    _: KW_ONLY
    places: Places | None = None
    genuine: "GenotypeBlock | None" = None
    single: BoolArray | None = None
    contig: str = ""
    dosages: "DosageRows | None" = None

    @property
    def n_variants(self) -> int:
        """V."""
        return int(self.packed.shape[0])

    @cached_property
    def counts(self) -> Int64Array:
        """Samples with code 0, 1, 2, 3 among all N, (V, 4): counted when first asked for."""
        counts = np.empty((self.n_variants, 4), dtype=np.int64)
        count_codes(self.packed.view(np.uint64), mask_words(np.arange(self.n_samples), self.n_samples), counts)
        return counts

    def carriers(self, flipped: BoolArray) -> Int64Array:
        """Samples that carry ALT, or REF where ``flipped`` (V,) says so: (V,)."""
        return np.asarray(self.counts[:, 1] + np.where(flipped, self.counts[:, 0], self.counts[:, 2]))

    def codes(self) -> UInt8Array:
        """Calls as codes (V, N): 0, 1, 2 copies of ALT, 3 not observed. For exploring and for oracles."""
        codes = np.empty((self.n_variants, self.n_samples), dtype=np.uint8)
        packed_kernels.unpack(self.packed, codes)
        return codes

    def take(self, keep: BoolArray | Int64Array) -> "Self":
        """Some of the variants; ``start`` stays."""
        haploid = None if self.haploid is None else self.haploid[keep]
        genuine = None if self.genuine is None else self.genuine.take(keep)
        dosages = None if self.dosages is None else self.dosages.take(keep)
        return replace(
            self, packed=self.packed[keep], haploid=haploid, places=places_of(self).take(keep), genuine=genuine,
            dosages=dosages,
        )  # fmt: skip

    def recoded(self, words: UInt64Array, single: BoolArray | None = None) -> "GenotypeBlock":
        """The same variants with other codes, 32 a word (V, W); ``genuine`` keeps the calls."""
        return replace(self, packed=words.view(np.uint8), genuine=self.genuine or self, single=single)

    @classmethod
    def from_codes(cls, codes: UInt8Array, start: int = 0) -> "GenotypeBlock":
        """Pack codes (V, N)."""
        codes = np.ascontiguousarray(codes, dtype=np.uint8)
        packed = np.empty((codes.shape[0], packed_bytes(codes.shape[1])), dtype=np.uint8)
        packed_kernels.pack(codes, packed)
        return cls(packed, codes.shape[1], start)


@dataclass(frozen=True)
class DosageBlock:
    """Dosages of V variants x N samples in fixed point.

    Attributes
    ----------
    values : uint8, uint16 or (predictors that are not variants) uint32 array (V, N)
        ``dosage = value / scale``; the dtype's largest value means "not observed".
    start : int
        Number of the first variant in the store.
    places, genuine, contig, haploid, single
        As of `GenotypeBlock`; where one copy is all there is, the dosage is doubled as calls are.
    steps : int
        Steps of one allele copy, those that the file's numbers are whole in: 255 of BGEN with 8 bits, 1000 of thousandths,
        16384 of PGEN; 0 where they are what the type of ``values`` can hold (see Notes).
    homozygous : uint array (V, N) or None
        Of the type of ``values``: probability of two copies of ALT, ``steps`` for 1, ``not_observed`` where the dosage is not; that of a
        heterozygote is what the dosage leaves. None where the probabilities of genotypes are not known.

    Notes
    -----
    Without ``steps``, ``scale`` is 127 for 8 bits (2.0 is 254) and 32767 for 16 bits (2.0 is 65534): the rounding error of a
    dosage is at most 0.004 and 0.000016. For 32 bits it is 2^20, whose sums of squares are exact to 2 million samples.
    """

    values: UInt8Array | UInt16Array | UInt32Array
    start: int = 0
    places: Places | None = None
    genuine: "DosageBlock | None" = None
    contig: str = ""
    steps: int = 0
    homozygous: Array | None = None
    _: KW_ONLY
    haploid: UInt8Array | None = None
    single: BoolArray | None = None

    @property
    def of_predictor(self) -> bool:
        """Whether these are values of a column that is no variant, laid on 0 to 2."""
        return self.steps == 0 and self.values.dtype.itemsize == 4

    @property
    def scale(self) -> int:
        """Steps of one allele copy."""
        return self.steps or {1: 127, 2: 32767, 4: 2**20}[self.values.dtype.itemsize]

    @property
    def not_observed(self) -> int:
        """The value that means "not observed"."""
        return int(np.iinfo(self.values.dtype).max)

    @property
    def fixed_point(self) -> FixedPoint:
        """The dosages as kernels take them."""
        return FixedPoint(np.ascontiguousarray(self.values), self.scale, self.not_observed)

    @property
    def n_variants(self) -> int:
        """V."""
        return int(self.values.shape[0])

    @property
    def n_samples(self) -> int:
        """N."""
        return int(self.values.shape[1])

    @cached_property
    def sums(self) -> Int64Array:
        """Sums of the steps of all N, (V, N_SUMS), as `genassoc.kernels.genotypes.dosages.sum_dosages` has them: when first asked for."""
        sums = np.empty((self.n_variants, N_SUMS), np.int64)
        sum_dosages(self.fixed_point, np.ones(self.n_samples, dtype=bool), sums)
        return sums

    def observed(self) -> BoolArray:
        """Where a dosage is observed, (V, N)."""
        return np.asarray(self.values != self.not_observed)

    def dosages(self) -> Float64Array:
        """Dosages of ALT (V, N), NaN where not observed."""
        return np.where(self.observed(), self.values / self.scale, np.nan)

    def whole(self, columns: Int64Array | None = None) -> BoolArray:
        """Variants (V,) that are calls in all samples, or in those of some columns: 0, 1 or 2 copies, and no other genotype possible."""
        selected = np.full(self.n_samples, columns is None)
        if columns is not None:
            selected[columns] = True
        whole = np.empty(self.n_variants, dtype=bool)
        whole_rows(self.fixed_point, selected, whole)
        if self.homozygous is not None:
            for v in np.flatnonzero(whole):
                two = self.values[v] == 2 * self.scale
                surely = (self.homozygous[v] == np.where(two, self.scale, 0)) | (self.values[v] == self.not_observed)
                whole[v] = bool((surely | ~selected).all())
        return whole

    def as_calls(self) -> GenotypeBlock:
        """Dosages of 0, 1 and 2 copies as calls; all others are not observed."""
        codes = np.full(self.values.shape, NOT_OBSERVED, np.uint8)
        for copies in (0, 1, 2):
            codes[self.values == copies * self.scale] = copies
        calls = GenotypeBlock.from_codes(codes, self.start)
        return replace(calls, haploid=self.haploid, places=places_of(self), contig=self.contig)

    def take(self, keep: BoolArray | Int64Array) -> "Self":
        """Some of the variants; ``start`` stays."""
        genuine = None if self.genuine is None else self.genuine.take(keep)
        homozygous = None if self.homozygous is None else self.homozygous[keep]
        haploid = None if self.haploid is None else self.haploid[keep]
        return replace(
            self, values=self.values[keep], places=places_of(self).take(keep), genuine=genuine, homozygous=homozygous,
            haploid=haploid,
        )  # fmt: skip

    def recoded(self, values: Any) -> "DosageBlock":
        """The same variants with other values (V, N), genotypes without probabilities; ``genuine`` keeps the dosages."""
        fixed: Any = values.astype(self.values.dtype, copy=False)
        return replace(self, values=fixed, homozygous=None, genuine=self.genuine or self)

    def halved(self, samples: BoolArray) -> "DosageBlock":
        """Dosages of ``samples`` (N,) as half of what they are, exactly, one copy being all they have; ``genuine`` keeps the dosages."""
        scale = 2 * self.scale
        kind: Any = np.uint16 if 2 * scale < NO_DOSAGE else np.uint32
        unknown = ~self.observed()
        values = np.where(samples, self.values.astype(kind), self.values.astype(kind) * kind(2))
        values[unknown] = np.iinfo(kind).max
        homozygous = None
        if self.homozygous is not None:
            homozygous = np.where(samples, kind(0), self.homozygous.astype(kind) * kind(2))
            homozygous[unknown] = np.iinfo(kind).max
        return replace(
            self, values=values, steps=scale, homozygous=homozygous, haploid=None, genuine=self.genuine or self, single=samples
        )  # fmt: skip

    @classmethod
    def from_dosages(
        cls, dosages: Float64Array, start: int = 0, bits: int = 16, *, steps: int = 0, homozygous: Float64Array | None = None
    ) -> "DosageBlock":  # fmt: skip
        """Round dosages (V, N) in [0, 2], NaN where not observed, to fixed point of 8 or 16 bits, or of 16 with ``steps`` a copy.

        ``homozygous`` (V, N): probabilities of two copies.
        """
        scale, missing = (127, 255) if bits == 8 else (steps or MOST_STEPS, NO_DOSAGE)
        kind = np.uint8 if bits == 8 else np.uint16

        def fixed(values: Float64Array) -> Any:
            return np.where(np.isnan(dosages), missing, np.rint(np.nan_to_num(values) * scale)).astype(kind)

        return cls(fixed(dosages), start, steps=steps, homozygous=None if homozygous is None else fixed(homozygous))


Block = GenotypeBlock | DosageBlock


@dataclass(frozen=True)
class DosageRows:
    """Dosages of D of V rows of a store, each row in fixed point of its own.

    Attributes
    ----------
    steps : uint16 array (V,)
        Steps of one allele copy (at most 32767) in each row; 0 where a row has calls only.
    values : uint16 array (D, N)
        Copies of ALT times steps, of the rows that have dosages, in their order; `NO_DOSAGE` where not observed. A haploid
        dosage of 0 to 1 is doubled, as a haploid call is, and marked in the batch's ``haploid``.
    homozygous : uint16 array (D, N) or None
        Probability of two copies of ALT times steps; `NO_DOSAGE` where the probabilities of genotypes are not known. None where
        those of no row are.
    """

    steps: UInt16Array
    values: UInt16Array
    homozygous: UInt16Array | None = None

    def __len__(self) -> int:
        return int(self.steps.size)

    def __getitem__(self, rows: slice) -> "DosageRows":
        start, stop, _ = rows.indices(self.steps.size)
        first, last = int(np.count_nonzero(self.steps[:start])), int(np.count_nonzero(self.steps[:stop]))
        homozygous = None if self.homozygous is None else self.homozygous[first:last]
        return DosageRows(self.steps[start:stop], self.values[first:last], homozygous)

    def take(self, which: BoolArray | Int64Array) -> "DosageRows":
        """Some of the rows, in the order of ``which``."""
        has = self.steps > 0
        at = (np.cumsum(has) - 1)[which][has[which]]
        homozygous = None if self.homozygous is None else self.homozygous[at]
        return DosageRows(self.steps[which], self.values[at], homozygous)

    def of_samples(self, columns: Int64Array) -> "DosageRows":
        """The dosages of some samples."""
        homozygous = None if self.homozygous is None else np.ascontiguousarray(self.homozygous[:, columns])
        return DosageRows(self.steps, np.ascontiguousarray(self.values[:, columns]), homozygous)


NO_DOSAGE = 65535  # in 16 bits
MOST_STEPS = 32767  # of a copy in 16 bits


def places_of(block: Block) -> Places:
    """Where the variants of a block lie."""
    if block.places is not None:
        return block.places
    return Places.autosomal(np.arange(block.start, block.start + block.n_variants, dtype=np.int64))


def copies_of(block: Block) -> Float64Array:
    """Copies of ALT, called or expected, (V, N); NaN where not observed."""
    if isinstance(block, DosageBlock):
        return block.dosages()
    codes = block.codes()
    return np.where(codes == NOT_OBSERVED, np.nan, codes.astype(np.float64))


def probabilities_of_two(block: Block) -> Float64Array | None:
    """The probability of two copies of ALT (V, N), NaN where not observed; None of dosages that come without."""
    if not isinstance(block, DosageBlock):
        return np.where(np.isnan(copies := copies_of(block)), np.nan, copies == 2.0)
    if block.homozygous is None:
        return None
    return np.where(block.observed(), block.homozygous / block.scale, np.nan)


def take_samples(block: GenotypeBlock, columns: Int64Array) -> GenotypeBlock:
    """The samples ``columns`` (N,) of a block as it was read."""
    packed = np.empty((block.n_variants, packed_bytes(columns.size)), dtype=np.uint8)
    packed_kernels.gather(block.packed, columns, packed)
    haploid = block.haploid
    if haploid is not None:
        marks = np.unpackbits(haploid, axis=1, bitorder="little", count=block.n_samples)
        haploid = np.packbits(marks[:, columns], axis=1, bitorder="little")
    return replace(block, packed=packed, n_samples=columns.size, haploid=haploid)

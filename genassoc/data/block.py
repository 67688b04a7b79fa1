"""A block of consecutive variants, all samples: the unit of storage, of work, of memory and of restart."""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels import packed as packed_kernels
from genassoc.shapes import BoolArray, Float64Array, UInt8Array, UInt16Array, packed_bytes


@dataclass(frozen=True)
class GenotypeBlock:
    """Hard calls of V variants x N samples, two bits a call.

    Attributes
    ----------
    packed : uint8 array (V, B)
        ``B = packed_bytes(N)``; layout in `genassoc.kernels.packed`.
    n_samples : int
        N, without the padding.
    start : int
        Number of the first variant in the store.
    haploid : uint8 array (V, ceil(N / 8)) or None
        Bit set where the call was haploid; None where no call of the block was.
    """

    packed: UInt8Array
    n_samples: int
    start: int = 0
    haploid: UInt8Array | None = None

    @property
    def n_variants(self) -> int:
        """V."""
        return int(self.packed.shape[0])

    def codes(self) -> UInt8Array:
        """Calls as codes (V, N): 0, 1, 2 copies of ALT, 3 not observed. For exploring and for oracles."""
        codes = np.empty((self.n_variants, self.n_samples), dtype=np.uint8)
        packed_kernels.unpack(self.packed, codes)
        return codes

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
    values : uint8 or uint16 array (V, N)
        ``dosage = value / scale``; the dtype's largest value means "not observed".
    start : int
        Number of the first variant in the store.

    Notes
    -----
    ``scale`` is 127 for 8 bits (2.0 is 254) and 32767 for 16 bits (2.0 is 65534): the rounding error of a
    dosage is at most 0.004 and 0.000016.
    """

    values: UInt8Array | UInt16Array
    start: int = 0

    @property
    def scale(self) -> int:
        """Steps of one allele copy."""
        return 127 if self.values.dtype == np.uint8 else 32767

    @property
    def not_observed(self) -> int:
        """The value that means "not observed"."""
        return 255 if self.values.dtype == np.uint8 else 65535

    @property
    def n_variants(self) -> int:
        """V."""
        return int(self.values.shape[0])

    @property
    def n_samples(self) -> int:
        """N."""
        return int(self.values.shape[1])

    def observed(self) -> BoolArray:
        """Where a dosage is observed, (V, N)."""
        return np.asarray(self.values != self.not_observed)

    def dosages(self) -> Float64Array:
        """Dosages of ALT (V, N), NaN where not observed."""
        return np.where(self.observed(), self.values / self.scale, np.nan)

    @classmethod
    def from_dosages(cls, dosages: Float64Array, start: int = 0, bits: int = 16) -> "DosageBlock":
        """Round dosages (V, N) in [0, 2], NaN where not observed, to fixed point of 8 or 16 bits."""
        scale, missing = (127, 255) if bits == 8 else (32767, 65535)
        values = np.where(np.isnan(dosages), missing, np.rint(np.nan_to_num(dosages) * scale))
        return cls(values.astype(np.uint8) if bits == 8 else values.astype(np.uint16), start)


Block = GenotypeBlock | DosageBlock

"""The contract of an output format with the export: one class a format, and the registry of formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from genassoc.data.block import DosageRows
from genassoc.errors import OutputError
from genassoc.shapes import Array, Int64Array, UInt8Array

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Writing:
    """How genotypes are written: the choices that formats share.

    Attributes
    ----------
    index : bool
        Also write the index that the format has (.tbi, .csi, .bgi), where the rows are sorted.
    bgen_bits : {None, 8, 16}
        Bits of a probability in a BGEN. None: 8 where they hold it exactly, else 16.
    bgen_compression : {"zlib", "zstd", "none"}
        Of a BGEN: zlib makes version 1.2, zstd 1.3.
    """

    index: bool = True
    bgen_bits: int | None = None
    bgen_compression: str = "zlib"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("bgen_bits", self.bgen_bits, (None, 8, 16)),
            ("bgen_compression", self.bgen_compression, ("zlib", "zstd", "none")),
        ):
            if value not in known:
                words = ", ".join(str(word) for word in known if word is not None)
                raise OutputError(f"{name}={value!r} is not known; choose from {words}")


AS_USUAL = Writing()


@dataclass(frozen=True, eq=False, kw_only=True)
class ExportHeader:
    """What is known before the first row.

    Attributes
    ----------
    sample_ids : tuple of str
        N names, in the store's order.
    sex : int8 (N,)
        0 unknown, 1 male, 2 female.
    contigs : dict
        Name -> length (None where unknown), in the store's order.
    most_rows : int
        Rows at most.
    most_rows_exact : bool
        Whether there are so many: no filter needs genotypes.
    has_dosages, has_probabilities, has_haploid : bool
        Whether rows may have dosages, probabilities of two copies, haploid calls.
    annotations : tuple of str
        Columns of text in the table beside the usual ones (`genassoc.data.store.variant_columns`).
    filters : tuple of str
        Values of the column FILTER, where there is one.
    most_alts : int
        Rows of one record at most.
    writing : Writing
    """

    sample_ids: tuple[str, ...]
    sex: Array
    contigs: dict[str, int | None]
    most_rows: int
    most_rows_exact: bool
    has_dosages: bool
    has_probabilities: bool
    has_haploid: bool
    annotations: tuple[str, ...]
    filters: tuple[str, ...] = ()
    most_alts: int = 1
    writing: Writing = AS_USUAL


@dataclass(frozen=True, eq=False)
class ExportRows:
    """Consecutive rows. The rows of one record are never in two of these.

    Attributes
    ----------
    table : polars DataFrame
        V rows in the columns of `GenotypeStore.variants`; then the annotations as text.
    packed : uint8 (V, B)
        Two-bit calls of the samples exported, the padding 3; of rows with dosages the hard calls.
    haploid : uint8 (V, ceil(N / 8)) or None
        Bits of haploid calls.
    dosages : DosageRows or None
        Of the rows that have some.
    kept : (packed, haploid) or None
        The calls with half calls (0/., ./1) as the store keeps them, for formats that can say them; in ``packed`` they are not
        observed, and not marked. None where there are none.
    """

    table: "pl.DataFrame"
    packed: UInt8Array
    haploid: UInt8Array | None = None
    dosages: DosageRows | None = None
    kept: tuple[UInt8Array, UInt8Array] | None = None

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def has_several(self) -> bool:
        """Whether a record has several rows."""
        return self.records().size <= len(self)

    def records(self) -> Int64Array:
        """Where each record begins, and V: rows of one record follow each other, with one position and one REF."""
        V = len(self)
        if not V:
            return np.zeros(1, np.int64)
        new = np.ones(V, bool)
        for number, name in enumerate(("record", "chromosome", "base_pair_location", "other_allele")):
            column = self.table[name]
            differs = (column != column.shift(1)).fill_null(True).to_numpy()
            new = differs if number == 0 else new | differs
        new[0] = True
        return np.append(np.flatnonzero(new), V).astype(np.int64)


Encoded = TypeVar("Encoded")


class Writer(Protocol[Encoded]):
    """One output, being written.

    It is made as ``Writer(folder, name, header)``: ``folder`` is empty and for it alone, ``name`` that of the output. The export
    syncs and renames what is in the folder when `close` has returned, and removes it after any exception.
    """

    def __init__(self, folder: Path, name: str, header: ExportHeader) -> None: ...

    @staticmethod
    def files(name: str) -> tuple[str, ...]:
        """Names of all files that may be made for an output called ``name``; the one that the others belong to is last."""
        ...

    def encode(self, rows: ExportRows) -> Encoded:
        """Make of rows what `write` writes: the costly part, called by several threads at once."""
        ...

    def write(self, encoded: Encoded) -> None:
        """Write what `encode` gave, in the order of the rows."""
        ...

    def close(self) -> list[str]:
        """Complete the files. Gives lines for the summary: what the format could not keep, and why."""
        ...

    def abandon(self) -> None:
        """Close what is open; never raises."""
        ...


@dataclass(frozen=True)
class OutputFormat:
    """A format of genotypes that can be written.

    Attributes
    ----------
    name : str
        As in ``--format``.
    suffixes : tuple of str
        Of files in it.
    writer : str
        ``module:class`` of its `Writer`, imported when it is needed.
    """

    name: str
    suffixes: tuple[str, ...]
    writer: str

    def load(self) -> "type[Writer[object]]":
        """The class of its writer."""
        module, name = self.writer.split(":")
        made: type[Writer[object]] = getattr(import_module(module), name)
        return made


WRITERS: tuple[OutputFormat, ...] = (
    OutputFormat("vcf", (".vcf.gz", ".vcf.bgz", ".vcf"), "genassoc.formats.vcf.export:VcfWriter"),
    OutputFormat("bgen", (".bgen",), "genassoc.formats.bgen.writer:BgenWriter"),
    OutputFormat("bcf", (".bcf",), "genassoc.formats.vcf.export:BcfWriter"),
    OutputFormat("vcz", (".vcz", ".vcf.zarr"), "genassoc.formats.vcz.writer:VczWriter"),
    OutputFormat("bed", (".bed",), "genassoc.formats.plink.export:BedWriter"),
    OutputFormat("pgen", (".pgen",), "genassoc.formats.plink.export:PgenWriter"),
)


def output_format(path: Path, name: str | None = None, known: Sequence[OutputFormat] = WRITERS) -> OutputFormat:
    """The format of an output: the one named, else that of its suffix.

    Raises
    ------
    OutputError
        There is no such format, or the name of the file does not fit it.
    """
    names = ", ".join(format.name for format in known)
    if name is not None:
        found = next((format for format in known if format.name == name.lower()), None)
        if found is None:
            raise OutputError(f"{path}: there is no format {name!r} to export to; there are {names}.")
    else:
        found = next((format for format in known if path.name.lower().endswith(format.suffixes)), None)
    if found is None or not path.name.lower().endswith(found.suffixes):
        raise OutputError(
            f"{path}: the name of an export says its format by its end: "
            + "; ".join(
                f"{' or '.join(format.suffixes)} ({format.name})" for format in (known if found is None else [found])
            )
            + "."
        )
    return found

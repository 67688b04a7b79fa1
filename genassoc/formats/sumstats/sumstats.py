"""Results of association in the dialects of GWAS-SSF, PLINK 2, REGENIE and SAIGE: recognised and read.

Alleles are told by the names of columns, never by their places. Writing: `genassoc.formats.sumstats.writer`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genassoc.data.result_table import MISSING
from genassoc.errors import InputError
from genassoc.formats.sumstats import gwas_ssf as sumstats_gwas_ssf
from genassoc.formats.sumstats import plink2 as sumstats_plink2
from genassoc.formats.sumstats import regenie as sumstats_regenie
from genassoc.formats.sumstats import saige as sumstats_saige
from genassoc.formats.sumstats.columns import in_order
from genassoc.formats.sumstats.dialect import Dialect
from genassoc.formats.sumstats.files import Header, check_numbers, read_header, scan_text, text_chunks
from genassoc.formats.sumstats.metadata import read_trait

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        sumstats_gwas_ssf.DIALECT,
        sumstats_plink2.DIALECT,
        sumstats_regenie.DIALECT,
        sumstats_saige.DIALECT,
    )
}
_OWN = ("chromosome", "base_pair_location", "effect_allele", "other_allele", "neg_log_10_p_value", "trait", "test")
_PARQUET = b"PAR1"


@dataclass(frozen=True)
class Source:
    """A file of results in one of the dialects.

    Attributes
    ----------
    path : Path
    dialect : Dialect
    header : Header
    trait : str
        Of rows whose file has no column for it.
    test : str or None
        The same.
    """

    path: Path
    dialect: Dialect
    header: Header
    trait: str
    test: str | None = None

    def columns(self) -> list[pl.Expr]:
        """Expressions that make the result columns of the file's text."""
        expressions = dict(self.dialect.read(self.header.names))
        if self.test is not None:
            expressions.setdefault("test", pl.lit(self.test))
        return in_order(expressions, self.trait)

    def scan(self) -> pl.LazyFrame:
        """The rows as a lazy frame of result columns."""
        return scan_text(self.path, self.header).select(self.columns())

    def chunks(self) -> Iterator[pl.DataFrame]:
        """The rows in frames of result columns, one in memory at a time.

        Raises
        ------
        InputError
            If a line is damaged or a number is none: names the line.
        """
        columns = self.columns()
        numbers = [name for name in self.dialect.numbers if name in self.header.names]
        for line, text in text_chunks(self.path, self.header):
            check_numbers(self.path, text, line, numbers)
            yield text.select(columns)

    def read(self) -> pl.DataFrame:
        """All rows; see `chunks`."""
        frames = list(self.chunks())
        return pl.concat(frames) if frames else pl.DataFrame(schema=self.scan().collect_schema())


def recognise(path: Path) -> Dialect | None:
    """The dialect of a file by its header; None where it is parquet, genassoc's own table, or none of them.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    header = None if _is_parquet(path) else read_header(path)
    return None if header is None else _of_header(header)


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _PARQUET
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _of_header(header: Header) -> Dialect | None:
    is_ours = all(name in header.names for name in _OWN) and not sumstats_gwas_ssf.is_in_order(header.names)
    if is_ours:
        return None
    return next((dialect for dialect in DIALECTS.values() if dialect.owns(header.names)), None)


def open_source(
    path: Path, dialect: str | None = None, trait: str | None = None, test: str | None = None
) -> Source | None:
    """A results file of another tool, or of ours in its dialect; None where it is no such file.

    Parameters
    ----------
    path : Path
    dialect : str, optional
        One of `DIALECTS`; by the header where not given.
    trait, test : str, optional
        What the rows are of, where the file itself does not tell. Else the trait comes from the metadata
        beside a GWAS-SSF file, or from the file's name; the test is "add".

    Raises
    ------
    InputError
        If there is no such dialect, or the header is not of it (says what is absent).
    """
    if dialect is None:
        chosen = recognise(path)
        header = None if chosen is None else read_header(path)
        if chosen is None or header is None:
            return None
    else:
        if dialect not in DIALECTS:
            raise InputError(f"there is no dialect '{dialect}' to read; there are {', '.join(DIALECTS)}.")
        chosen, header = DIALECTS[dialect], read_header(path)
        names = header.names if header else ()
        absent = [" or ".join(choice) for choice in chosen.needs if not any(name in names for name in choice)]
        if header is None or absent:
            raise InputError(f"{path} is no file of the dialect '{dialect}': its header has no {', '.join(absent)}.")
    if len(set(header.names)) < len(header.names):
        twice = sorted({name for name in header.names if header.names.count(name) > 1})
        raise InputError(f"{path}, line {header.line}: the header has {', '.join(twice)} more than once.")
    if trait is None and chosen.name == "gwas-ssf":
        trait = read_trait(path)
    return Source(path, chosen, header, trait or chosen.trait_of(path.name), test)


def own_text_chunks(path: Path, schema: pl.Schema) -> Iterator[pl.DataFrame]:
    """The rows of genassoc's own TSV with the types of ``schema``, one chunk in memory at a time.

    Raises
    ------
    InputError
        If a line is damaged.
    """
    header = read_header(path)
    if header is None:
        raise InputError(f"{path} is empty: there is no header line.")
    types = [pl.col(name).cast(kind) for name, kind in schema.items()]
    for _, text in text_chunks(path, header, missing=[MISSING], quotes=True):
        yield text.select(types)

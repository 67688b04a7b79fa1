"""Results: a table with one row for each variant x trait x test, and what produced it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from genassoc import provenance as provenance_records
from genassoc.data.forks import check_not_forked
from genassoc.data.output import replacing
from genassoc.data.result_table import (
    ROW_GROUP,
    SUFFIXES,
    iterate_table,
    scan_table,
    table_suffix,
    to_arrow,
    write_table,
)
from genassoc.errors import GenassocError, InputError, OutputError
from genassoc.formats import sumstats, sumstats_writer
from genassoc.formats.sumstats_writer import WrittenFile

if TYPE_CHECKING:
    import pyarrow as pa

P_VALUE = "neg_log_10_p_value"
NEEDED = ("chromosome", "base_pair_location", "effect_allele", "other_allele", P_VALUE, "trait", "test")
DIALECTS: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "tsv": tuple(suffix for suffix in SUFFIXES if suffix != ".parquet"),
}


class Results:
    """The table of an association run, on disk or in memory, with its provenance.

    Parameters
    ----------
    source : str, Path or DataFrame
        A results file of genassoc's (parquet, TSV), read when it is needed; or the table itself.
    provenance : mapping, optional
        What produced it (``genassoc.provenance``); ``"variants"`` in it are the counts behind `ledger`.
    cohort : Cohort, optional
        What they were computed on, where that was in this session: for `genassoc.explain`.

    See Also
    --------
    Results.read : open a file together with its provenance.
    """

    def __init__(
        self, source: str | Path | pl.DataFrame, provenance: Mapping[str, Any] | None = None, cohort: Any = None
    ) -> None:
        self.path = None if isinstance(source, pl.DataFrame) else Path(source)
        self._table = source if isinstance(source, pl.DataFrame) else None
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.cohort = cohort
        self._source: sumstats.Source | None = None  # where the file is in another tool's dialect
        self.folder: Any = None  # a temporary folder that must live as long as its results

    @classmethod
    def read(
        cls, path: str | Path, dialect: str | None = None, *, trait: str | None = None, test: str | None = None
    ) -> "Results":
        """Open a results file, genassoc's or of another tool, and the provenance beside it, where there is one.

        Parameters
        ----------
        path : str or Path
            genassoc's parquet or TSV; or a file of GWAS-SSF, PLINK 2, REGENIE or SAIGE, plain or compressed. Its
            effect allele is the one that its columns name (A1, ALLELE1, Allele2, effect_allele).
        dialect : str, optional
            "gwas-ssf", "plink2", "regenie", "saige"; by the header where not given.
        trait, test : str, optional
            What the rows are of, where the file does not tell; by default from the name of the file, and "add".

        Raises
        ------
        InputError
            If the file is absent, unreadable or no table of results.
        """
        check_not_forked()
        path = Path(path)
        if not path.is_file():
            raise InputError(f"there is no results file {path}.")
        results = cls(path)
        if dialect not in DIALECTS:
            record = read_provenance(path)
            written = record.get("written", {})
            source = sumstats.open_source(path, dialect, trait or written.get("trait"), test or written.get("test"))
            if source is not None:
                results._source, results.provenance = source, record
                return results
        try:
            names = results.scan().collect_schema().names()
        except OutputError as error:
            raise InputError(f"{path} is no results file: its name ends in none of {', '.join(SUFFIXES)}.") from error
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{path} cannot be read as a table of results: {error}") from error
        absent = [name for name in NEEDED if name not in names]
        if absent:
            raise InputError(f"{path} is no table of genassoc's results: it has no column {', '.join(absent)}.")
        results.provenance = read_provenance(path)
        return results

    # --- the rows -------------------------------------------------------------------------------------------

    @property
    def table(self) -> pl.DataFrame:
        """All rows, in store order (variant, then trait, then test)."""
        if self._table is None:
            self._table = self.scan().collect() if self._source is None else self._source.read()
        return self._table

    def scan(self) -> pl.LazyFrame:
        """The rows as a lazy frame: nothing is read until it is collected."""
        check_not_forked()
        if self._table is not None:
            return self._table.lazy()
        if self._source is not None:
            return self._source.scan()
        assert self.path is not None
        return scan_table(self.path)

    def top(self, n: int = 10, trait: str | None = None) -> pl.DataFrame:
        """The ``n`` rows with the smallest p, of one trait or all; equal p stay in store order."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise GenassocError(f"top(n): n is how many rows to show, a whole number of at least 0, not {n!r}.")
        rows = self._of_trait(trait).with_row_index("_row").filter(_has_p())
        best = rows.sort([P_VALUE, "_row"], descending=[True, False]).head(n)
        return best.drop("_row").collect()

    def lambda_gc(self, trait: str | None = None) -> float | pl.DataFrame:
        """Genomic inflation: the median chi-squared over that of 1 degree of freedom without any association.

        Every p is read as that of a chi-squared with 1 degree of freedom, through its logarithm.

        Returns
        -------
        float or DataFrame
            A number where there is one trait and test, else one row each: trait, test, n_variants, lambda_gc.
            Null (NaN) where no row has a p.

        References
        ----------
        Devlin B, Roeder K (1999). Genomic control for association studies. Biometrics 55.
        """
        from genassoc.stats.inflation import genomic_inflation  # compiles kernels: only when asked for

        p = pl.col(P_VALUE).filter(_has_p())
        groups = (
            self._of_trait(trait)
            .group_by("trait", "test", maintain_order=True)
            .agg(
                p.len().alias("n_variants"),
                # The median of a monotone transform is that of the two middle values.
                p.quantile(0.5, "lower").alias("lower"),
                p.quantile(0.5, "higher").alias("higher"),
            )
            .collect()
        )
        lower, higher = (groups[name].cast(pl.Float64).to_numpy() for name in ("lower", "higher"))
        inflation = pl.Series("lambda_gc", genomic_inflation(lower, higher)).fill_nan(None)
        table = groups.select("trait", "test", "n_variants", inflation)
        if table.height == 1:
            value = table["lambda_gc"][0]
            return float("nan") if value is None else float(value)
        return table

    def codes(self) -> pl.DataFrame:
        """How many rows of each trait and test have which code (null: fine), in order of first appearance."""
        return (
            self.scan().group_by("trait", "test", "code", maintain_order=True).agg(pl.len().alias("n_rows")).collect()
        )

    @property
    def traits(self) -> list[str]:
        """Names of the traits, in their order."""
        return self.scan().select(pl.col("trait").unique(maintain_order=True)).collect()["trait"].to_list()

    @property
    def ledger(self) -> pl.DataFrame:
        """Every variant accounted for: read, kept, dropped and why (status, reason, n_variants)."""
        counts = self.provenance.get("variants", {})
        rows: list[tuple[str, str | None, int]] = []
        if counts:
            rows = [("read", None, counts["read"]), ("kept", None, counts["kept"])]
            rows += [("dropped", reason, n) for reason, n in counts["dropped"].items()]
        schema = {"status": pl.String, "reason": pl.String, "n_variants": pl.Int64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _of_trait(self, trait: str | None) -> pl.LazyFrame:
        if trait is None:
            return self.scan()
        if trait not in self.traits:
            raise GenassocError(f"there is no trait '{trait}' in these results; they hold {', '.join(self.traits)}.")
        return self.scan().filter(pl.col("trait") == trait)

    # --- out ------------------------------------------------------------------------------------------------

    def write(
        self, path: str | Path, dialect: str | None = None, *, metadata: Mapping[str, Any] | None = None
    ) -> Path | list[WrittenFile]:
        """Write the table, and its provenance beside it.

        Parameters
        ----------
        path : str or Path
            Ends in .parquet, .tsv, .tsv.gz or .txt.gz; in a dialect of other tools as its files do.
        dialect : str, optional
            "parquet" or "tsv": all columns; by the suffix where not given. "gwas-ssf", "plink2", "regenie", "saige":
            those columns, one file a trait (and test, where the dialect has no column for it). Several get the
            trait (and test) before the suffix: ``gwas.tsv.gz`` -> ``gwas.ldl.tsv.gz``.
        metadata : mapping, optional
            For the YAML beside a GWAS-SSF file, what only you know: genome_assembly, sample_ancestry, ...

        Returns
        -------
        Path, or list of WrittenFile
            The file; of a dialect of other tools, each file with its trait, its rows, and the count of rows that the
            dialect cannot hold, by reason. GWAS-SSF puts those into ``<stem>.not-in-gwas-ssf.tsv.gz``.

        Raises
        ------
        OutputError
            If there is no such dialect, the suffix is not one of its, or the file cannot be written.
        """
        path = Path(path)
        if dialect is not None and dialect in sumstats.DIALECTS:
            files = sumstats_writer.write_dialect(
                path, dialect, self._pieces, metadata=metadata, provenance=self.provenance
            )
            for file in files:
                write_provenance(file.path, {**self.provenance, "written": file.record()})
            return files
        if dialect is not None and dialect not in DIALECTS:
            raise OutputError(
                f"there is no dialect '{dialect}'; there are {', '.join([*DIALECTS, *sumstats.DIALECTS])}."
            )
        if metadata:
            raise OutputError("metadata is written beside GWAS-SSF files only: say dialect='gwas-ssf'.")
        if table_suffix(path) not in DIALECTS.get(dialect or "", SUFFIXES):
            raise OutputError(f"a file in the dialect '{dialect}' ends in {' or '.join(DIALECTS[dialect or ''])}.")
        schema, tables = self._arrow()
        write_table(path, schema, tables)
        if self.provenance:
            write_provenance(path, self.provenance)
        return path

    def _arrow(self) -> "tuple[pa.Schema, Iterator[pa.Table]]":
        if (
            self._table is None
            and self._source is None
            and self.path is not None
            and table_suffix(self.path) == ".parquet"
        ):
            return iterate_table(self.path)
        schema = to_arrow(self.scan().head(0).collect()).schema
        return schema, (to_arrow(piece).cast(schema) for piece in self._pieces())

    def _pieces(self) -> Iterator[pl.DataFrame]:
        """The rows from the start, a frame of bounded size at a time."""
        if self._table is not None:
            yield from self._table.iter_slices(ROW_GROUP)
            if not self._table.height:
                yield self._table
        elif self._source is not None:
            yield from self._source.chunks()
        else:
            assert self.path is not None
            if table_suffix(self.path) == ".parquet":
                for table in iterate_table(self.path)[1]:
                    yield pl.DataFrame(pl.from_arrow(table))
            else:
                yield from sumstats.own_text_chunks(self.path, self.scan().collect_schema())

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else str(self.path)
        n_rows = self.scan().select(pl.len()).collect().item()
        names = self.traits
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"Results({where}: {n_rows:,} rows; traits {shown or 'none'})"


def _has_p() -> pl.Expr:
    return pl.col(P_VALUE).is_not_null() & pl.col(P_VALUE).is_not_nan()


def write_provenance(path: str | Path, record: Mapping[str, Any]) -> Path:
    """Write ``record`` beside the results file ``path``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    out = provenance_records.sidecar(path)
    with replacing(out) as file:
        file.write((json.dumps(record, indent=2, default=str) + "\n").encode())
    return out


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The record beside the results file ``path``; empty where there is none.

    Raises
    ------
    InputError
        If there is one that cannot be read.
    """
    beside = provenance_records.sidecar(path)
    if not beside.exists():
        return {}
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{beside} is no record of provenance ({error}); remove it to go on without.") from error
    return content if isinstance(content, dict) else {}

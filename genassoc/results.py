"""Results: a table with one row for each variant x trait x test, and what produced it."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from genassoc.data.disclosed_tables import Leaving, masked, record_that_leaves
from genassoc.data.disclosure import Policy, policy_of
from genassoc.data.forks import check_not_forked
from genassoc.data.integrity import FileDigest, signature
from genassoc.data.pickled import PickledByPlace
from genassoc.data.result_summary import P_VALUE, has_p, inflation_of, medians_of, summary_of
from genassoc.data.result_table import (
    ROW_GROUP,
    SUFFIXES,
    check_pages,
    check_table_types,
    iterate_table,
    scan_table,
    table_suffix,
    write_table,
)
from genassoc.data.shown import html_facts, lines_shown
from genassoc.data.sidecar import Record, check_table, read_record, standing, write_record
from genassoc.data.top_rows import TopRows, ratio_of
from genassoc.errors import GenassocError, InputError, OutputError, UncheckedWarning, printable
from genassoc.formats.sumstats import sumstats
from genassoc.formats.sumstats import writer as sumstats_writer
from genassoc.formats.sumstats.files import check_text, repeated_names
from genassoc.formats.sumstats.writer import WrittenFile

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

NEEDED = ("chromosome", "base_pair_location", "effect_allele", "other_allele", P_VALUE, "trait", "test")
TEXT_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".parquet")
DIALECTS: dict[str, tuple[str, ...]] = {
    "parquet": (".parquet",),
    "tsv": TEXT_SUFFIXES,
}


class Results(PickledByPlace):
    """The table of an association run, on disk or in memory, with its provenance.

    Parameters
    ----------
    source : str, Path or DataFrame
        A results file of genassoc (parquet, TSV), read when it is needed; or the table itself.
    provenance : mapping, optional
        What produced it (``genassoc.provenance``); ``"variants"`` in it are the counts behind `ledger`.
    cohort : Cohort, optional
        The cohort, if the results were computed in this session: for `genassoc.explain`.

    Notes
    -----
    A file is checked against the digest in its record before its first rows are read, and again if it has been changed
    since: unless it is the table that was written, byte by byte, there is an InputError. A file without a digest (from an
    earlier version, or without its record) is read through once, and a warning says that it is unchecked (`UncheckedWarning`).
    A pickle has the place of the file, not its rows; rows in memory, or in a temporary file that goes with the session, are in it.

    See Also
    --------
    Results.read : open a file together with its provenance.
    """

    needed: ClassVar[tuple[str, ...]] = NEEDED  # columns of any such table

    def __init__(
        self,
        source: str | Path | pl.DataFrame,
        provenance: Mapping[str, Any] | None = None,
        cohort: "Cohort | None" = None,
    ) -> None:
        self.path = None if isinstance(source, pl.DataFrame) else Path(source)
        self._table = source if isinstance(source, pl.DataFrame) else None
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.cohort = cohort
        self._source: sumstats.Source | None = None  # where the file is in another tool's dialect
        self.folder = None  # a temporary folder that must live as long as its results
        self._digest: FileDigest | None = None  # of the file, as its record has it
        self._record: Path | None = None
        self._seen: tuple[int, ...] | None = None  # what the file looked like when it was last checked

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
            Trait and test of the rows, if the file does not give them; by default from the name of the file, and "add".

        Raises
        ------
        InputError
            If the file is absent, unreadable or no table of results.
        """
        check_not_forked()
        path = Path(path)
        if not path.is_file():
            fault = "is a folder" if path.is_dir() else "is a special file" if path.exists() else ""
            raise InputError(f"{path} {fault}, not a results file." if fault else f"there is no results file {path}.")
        results, record = cls._kind(path)(path), read_record(path)
        if record.digest is not None:
            check_table(path, record.digest, record.path)
            results._digest, results._record, results._seen = record.digest, record.path, signature(path)
            check_text(path)
        if not isinstance(results, SetResults):
            results._source = results._opened(dialect, record, trait, test)
        results.provenance = record.content
        results._check(record)
        if results._source is not None:
            return results
        try:
            schema = scan_table(path).collect_schema()
        except OutputError as error:
            raise InputError(f"{path} is no results file: its name ends in none of {', '.join(SUFFIXES)}.") from error
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{path} cannot be read as a table of results: {error}") from error
        absent = [name for name in results.needed if name not in schema.names()]
        if absent:
            raise InputError(f"{path} is no table of genassoc's results: it has no column {', '.join(absent)}.")
        check_table_types(path, schema)
        return results

    @classmethod
    def _kind(cls, path: Path) -> "type[Results]":
        """`SetResults` where a table is of sets, by its columns; a table that cannot be read is found out later."""
        if cls is not Results:
            return cls
        try:
            names = scan_table(path).collect_schema().names() if path.name.lower().endswith(SUFFIXES) else []
        except (pl.exceptions.PolarsError, OSError, OutputError):
            names = []
        return SetResults if set(SetResults.needed) <= set(names) else Results

    def _opened(
        self, dialect: str | None, record: Record, trait: str | None, test: str | None
    ) -> "sumstats.Source | None":
        """The file in another tool's dialect; None where it is a table of our own, whose header is looked at."""
        assert self.path is not None
        if dialect not in DIALECTS:
            written = record.content.get("written", {})
            source = sumstats.open_source(
                self.path, dialect, trait or written.get("trait"), test or written.get("test")
            )
            if source is not None:
                return source
        if self.path.name.lower().endswith(TEXT_SUFFIXES) and (twice := repeated_names(self.path)):
            raise InputError(f"{self.path}: the header has {', '.join(twice)} more than once; remove one of them.")
        return None

    # --- the file ------------------------------------------------------------------------------------------

    def _check(self, record: Record | None = None) -> None:
        """See that the file is the one that its record is of: at first, and when it was written to since."""
        if self.path is None or self._table is not None:
            return
        now = self._present()
        if now == self._seen:
            return
        if self._seen is None:
            record = read_record(self.path) if record is None else record
            self._digest, self._record = record.digest, record.path
        if self._digest is not None:
            check_table(self.path, self._digest, self._record)
        elif self._source is None:
            self._look_through()
        check_text(self.path)
        self._seen = now

    def _look_through(self) -> None:
        """Read a file of our own without a digest once, so that what is damaged is found now; and say that it is unchecked."""
        assert self.path is not None
        try:
            if table_suffix(self.path) == ".parquet":
                check_pages(self.path)
        except OutputError:
            return  # a name that is no table's: said by who reads it
        except Exception as error:  # of arrow: its errors have no common ground
            raise InputError(f"{self.path} cannot be read as a table of results: {error}") from error
        warnings.warn(
            printable(
                f"{self.path} has no digest, so that genassoc cannot tell whether it was changed since it was written: an earlier "
                "version of genassoc wrote it, or the record beside it is missing."
            ),
            UncheckedWarning,
            stacklevel=4,
        )

    def vouched(self, digest: FileDigest) -> "Results":
        """These results, whose file this process has just written with that digest: not read again to be checked."""
        assert self.path is not None
        self._digest, self._record, self._seen = digest, None, signature(self.path)
        return self

    def _collected(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Rows of the file, with the words of genassoc where they cannot be read."""
        try:
            return rows.collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            if self.path is None:
                raise
            raise InputError(f"{self.path} cannot be read as a table of results: {error}") from error

    # --- the rows -------------------------------------------------------------------------------------------

    @property
    def table(self) -> pl.DataFrame:
        """All rows, in store order (variant, then trait, then test)."""
        if self._table is None:
            rows = self.scan()
            self._table = self._collected(rows) if self._source is None else self._source.read()
        return self._table

    def scan(self) -> pl.LazyFrame:
        """The rows as a lazy frame: none is read until it is collected; the file is checked before that, once.

        Raises
        ------
        InputError
            The file is not the one that was written.
        """
        check_not_forked()
        if self._table is not None:
            return self._table.lazy()
        self._check()
        if self._source is not None:
            return self._source.scan()
        assert self.path is not None
        return scan_table(self.path)

    def top(self, n: int = 10, trait: str | None = None) -> TopRows:
        """The ``n`` rows with the smallest p, of one trait or all; equal p stay in store order.

        Returns
        -------
        TopRows
            A table of all columns, ``p_value`` and of models of risks the ratio with its interval (``odds_ratio``, ``ratio_lower``,
            ``ratio_upper``) beside them; printed are what names a row, beta, its standard error, the ratio and p.
        """
        return TopRows.of(self._strongest(n, trait), ratio_of(self.provenance))

    def _strongest(self, n: int, trait: str | None) -> pl.DataFrame:
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise GenassocError(
                f"top(n): n must be the number of rows to show, a whole number of at least 0, not {n!r}."
            )
        rows = self._of_trait(trait).with_row_index("_row").filter(has_p())
        best = rows.sort([P_VALUE, "_row"], descending=[True, False]).head(n)
        return self._collected(best.drop("_row"))

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
        medians = medians_of(partial(self.pieces_of, trait=trait))
        table = medians.select("trait", "test", "n_variants", inflation_of(medians))
        if table.height == 1:
            value = table["lambda_gc"][0]
            return float("nan") if value is None else float(value)
        return table

    def summary(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Genomic inflation, codes and best rows of all traits, from two passes over the rows.

        Returns
        -------
        inflation : DataFrame
            trait, test, n_variants, lambda_gc: as `lambda_gc`.
        codes : DataFrame
            trait, test, code, chromosome, n_rows: rows that have a code.
        best : DataFrame
            The row with the smallest p of each trait and test: what names it and its estimate.
        """
        found = summary_of(self.pieces_of)
        return found.medians.select("trait", "test", "n_variants", inflation_of(found.medians)), found.codes, found.best

    def codes(self) -> pl.DataFrame:
        """How many rows of each trait and test have which code (null: fine), in order of first appearance."""
        groups = self.scan().group_by("trait", "test", "code", maintain_order=True)
        return self._collected(groups.agg(pl.len().alias("n_rows")))

    @property
    def traits(self) -> list[str]:
        """Names of the traits, in their order."""
        names = self._collected(self.scan().select(pl.col("trait").unique(maintain_order=True)))
        return [str(name) for name in names["trait"]]

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

    def pieces_of(self, columns: Sequence[str], trait: str | None = None) -> Iterator[pl.DataFrame]:
        """Some columns of the rows, of one trait or all, a frame of bounded size at a time."""
        if trait is not None:
            self._of_trait(trait)  # which refuses one that is not there
        chosen = pl.lit(True) if trait is None else pl.col("trait") == trait
        for piece in self._pieces(columns):
            yield piece.select(columns).filter(chosen)

    def _of_trait(self, trait: str | None) -> pl.LazyFrame:
        if trait is None:
            return self.scan()
        if trait not in self.traits:
            raise GenassocError(f"there is no trait '{trait}' in these results; they hold {', '.join(self.traits)}.")
        return self.scan().filter(pl.col("trait") == trait)

    # --- out ------------------------------------------------------------------------------------------------

    def write(
        self,
        path: str | Path,
        dialect: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        for_spreadsheets: bool = False,
        policy: Policy | str | None = None,
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
        overwrite : bool
            Replace any file at ``path``. Without it only a file with the same bytes, results of the same run, or an empty
            file are replaced.
        for_spreadsheets : bool
            Only for text in genassoc's own columns: put an apostrophe before ids that begin with = + - @, which a spreadsheet
            would evaluate. Control bytes in ids are written as ``\\x1b`` in any case.
        policy : Policy or "snds", "casd", "ukb", "finngen", optional
            Write the table as it may leave (`genassoc.data.disclosure`): rows with a small count of carriers, cases or events lose their
            counts, frequencies and estimates, a column ``withheld`` says which, and ``<file>.withheld.txt`` what. The record beside it has
            neither notes nor paths. These results stay as they are.

        Returns
        -------
        Path, or list of WrittenFile
            The file; of a dialect of other tools, each file with its trait, its rows, and the count of rows that the
            dialect cannot hold, by reason. GWAS-SSF puts those into ``<stem>.not-in-gwas-ssf.tsv.gz``.

        Raises
        ------
        OutputError
            If there is no such dialect, the suffix is not one of its suffixes, the file cannot be written, or ``path`` holds other
            results.
        """
        check_not_forked()
        path = Path(path)
        self._check()
        chosen = policy_of(policy)
        if chosen is not None:
            options = {"overwrite": overwrite, "for_spreadsheets": for_spreadsheets}
            return self._write_leaving(path, dialect, chosen, metadata, **options)
        if dialect is not None and dialect in sumstats.DIALECTS:
            if for_spreadsheets:
                raise OutputError("for_spreadsheets is for tables with genassoc's own columns: leave the dialect out.")
            return sumstats_writer.write_dialect(
                path, dialect, self._pieces, metadata=metadata, provenance=self.provenance,
                seal=partial(self._seal, overwrite=overwrite),
            )  # fmt: skip
        if dialect is not None and dialect not in DIALECTS:
            raise OutputError(
                f"there is no dialect '{dialect}'; there are {', '.join([*DIALECTS, *sumstats.DIALECTS])}."
            )
        if metadata:
            raise OutputError("metadata is written beside GWAS-SSF files only: use dialect='gwas-ssf'.")
        if table_suffix(path) not in DIALECTS.get(dialect or "", SUFFIXES):
            raise OutputError(f"a file in the dialect '{dialect}' ends in {' or '.join(DIALECTS[dialect or ''])}.")
        schema = self._collected(self.scan().head(0)).schema
        rows = (piece.cast(dict(schema)) for piece in self._pieces())  # type: ignore[arg-type]
        self.write_rows(path, rows, overwrite=overwrite, for_spreadsheets=for_spreadsheets)
        return path

    def _write_leaving(
        self,
        path: Path,
        dialect: str | None,
        policy: Policy,
        metadata: Mapping[str, object] | None,
        *,
        overwrite: bool,
        for_spreadsheets: bool,
    ) -> Path | list[WrittenFile]:
        """`write` under a policy: rows, record and list of what was withheld."""
        if self.path is not None and path.exists() and path.samefile(self.path):
            raise OutputError(f"{path} holds the results themselves, which stay as they are: write to another name.")
        leaving = _Leaving(self, policy)
        written = leaving.write(
            path, dialect, metadata=metadata, overwrite=overwrite, for_spreadsheets=for_spreadsheets
        )
        leaving.rows.write_list(path)
        return written

    def write_rows(
        self,
        path: Path,
        rows: Iterator[pl.DataFrame],
        *,
        overwrite: bool = False,
        for_spreadsheets: bool = False,
    ) -> None:
        """Write ``rows`` as `write` does the rows; where ``path`` is these results' own, they are checked already."""
        digests: list[FileDigest] = []

        def seal(digest: FileDigest) -> None:
            self._seal(path, self.provenance, digest, overwrite=overwrite)
            digests.append(digest)

        write_table(path, rows, seal=seal, for_spreadsheets=for_spreadsheets)
        if path == self.path:
            self.vouched(digests[0])

    def _seal(self, path: Path, record: Mapping[str, Any], digest: FileDigest, *, overwrite: bool) -> None:
        """Before a whole table appears at ``path``: refuse to replace other results, and put the record beside it."""
        check_place(path, record, overwrite, digest)
        write_record(path, record, digest)

    def _pieces(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """The rows from the start, a frame of bounded size at a time; of parquet only ``columns`` are read."""
        check_not_forked()
        self._check()
        if self._table is not None:
            yield from self._table.iter_slices(ROW_GROUP)
            if not self._table.height:
                yield self._table
        elif self._source is not None:
            yield from self._source.chunks()
        else:
            assert self.path is not None
            if table_suffix(self.path) == ".parquet":
                yield from iterate_table(self.path, columns)
            else:
                yield from sumstats.own_text_chunks(self.path, self.scan().collect_schema())

    def __repr__(self) -> str:
        if self._is_gone:
            return printable(f"Results({self.path}: the file is not there any more)")
        n_rows = self._collected(self.scan().select(pl.len())).item()
        names = self.traits
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return lines_shown([f"{type(self).__name__}({self._place}: {n_rows:,} rows; traits {shown or 'none'})"])

    def _repr_html_(self) -> str:
        return html_facts(repr(self), {}) + ("" if self._is_gone else self.top(5)._repr_html_())


class SetResults(Results):
    """The table of a run of sets of variants (`genassoc.associate_sets`): a row each set, mask, bin, trait and test.

    `table`, `top`, `write`, `read`, `provenance` and `ledger` are those of `Results`; `top` leaves out rows without one of the variants.
    """

    needed: ClassVar[tuple[str, ...]] = ("set_id", "mask", "max_maf", "trait", "test", P_VALUE, "code")

    def _strongest(self, n: int, trait: str | None) -> pl.DataFrame:
        left_out = int(self._collected(self.scan().select(pl.col("left_out").is_not_null().sum())).item())
        best = super()._strongest(n + left_out if left_out and isinstance(n, int) else n, trait)
        return best.filter(pl.col("left_out").is_null()).head(n)

    @property
    def multiplicity(self) -> pl.DataFrame:
        """How many tests have a p, of each trait and test, rows without one of the variants left out: trait, test, n_tests."""
        counted = (
            self.scan().filter(has_p() & pl.col("left_out").is_null()).group_by("trait", "test", maintain_order=True)
        )
        return self._collected(counted.agg(pl.len().cast(pl.Int64).alias("n_tests")))

    def threshold(self, alpha: float = 0.05) -> float:
        """The p below which a row is significant when every mask, bin, test and trait is counted (Bonferroni)."""
        return alpha / max(1, int(self.multiplicity["n_tests"].sum()))


class _Leaving(Results):
    """The rows of some results as they may leave, with the record that may be beside them."""

    def __init__(self, results: Results, policy: Policy) -> None:
        super().__init__(pl.DataFrame())
        self.rows, self._whole = Leaving(policy), results
        self.provenance = record_that_leaves(results.provenance, self.rows.withheld)

    def scan(self) -> pl.LazyFrame:
        """The columns, without a row."""
        empty = self._whole._collected(self._whole.scan().head(0))
        return masked(empty, self.rows.policy).lazy()

    def _pieces(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        return self.rows.rows(self._whole._pieces())

    def _seal(self, path: Path, record: Mapping[str, object], digest: FileDigest, *, overwrite: bool) -> None:
        written = {"written": record["written"]} if "written" in record else {}
        leaves = record_that_leaves({**self._whole.provenance, **written}, self.rows.withheld)
        super()._seal(path, leaves, digest, overwrite=overwrite)


def check_place(
    path: Path, record: Mapping[str, Any], overwrite: bool = False, digest: FileDigest | None = None
) -> None:
    """Refuse to replace results other than those of ``record``.

    Parameters
    ----------
    path : Path
        Where a table is to be.
    record : mapping
        Its provenance.
    overwrite : bool
        Whether anything may be replaced.
    digest : FileDigest, optional
        Of the table: a file with the same bytes may be replaced, whatever it is.

    Raises
    ------
    OutputError
        The message says what is there.
    """
    existing = None if overwrite else standing(path, record.get("run", {}), record)
    if existing is None or (digest is not None and FileDigest.of(path) == digest):
        return
    if not existing.same:
        raise OutputError(
            f"{path} exists already and does not hold these results: {existing.why or 'its columns differ'}. The file was not "
            "changed: write to another name, or use overwrite=True (--force)."
        )


def write_provenance(path: str | Path, record: Mapping[str, object]) -> Path:
    """Write ``record`` beside the results file ``path``, with the digests of both.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    return write_record(path, record)


def read_provenance(path: str | Path) -> dict[str, Any]:
    """The record beside the results file ``path``; empty where there is none.

    Raises
    ------
    InputError
        If there is one that cannot be read, or was changed since it was written.
    """
    return read_record(path).content

"""Writing results in a dialect: one file a trait (and test), rows that it cannot hold set apart and counted."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.data.cohort.contigs import Contigs
from genassoc.data.integrity import FileDigest
from genassoc.data.result_table import TableWriter, open_table
from genassoc.errors import OutputError
from genassoc.formats.sumstats.columns import TYPES
from genassoc.formats.sumstats.dialect import Dialect, Group
from genassoc.formats.sumstats.files import TextOutput, text_output
from genassoc.formats.sumstats.gwas_ssf import chromosome_code
from genassoc.formats.sumstats.metadata import check_fields, write_metadata
from genassoc.formats.sumstats.sumstats import DIALECTS

Seal = Callable[
    [Path, Mapping[str, Any], FileDigest], None
]  # called with file, record and digest before the file appears
Pieces = Callable[[], Iterator[pl.DataFrame]]  # the rows from the start, a frame at a time

_FILES_AT_ONCE = 100  # open files of one pass over the rows; more traits take more passes


@dataclass(frozen=True)
class WrittenFile:
    """One file in a dialect.

    Attributes
    ----------
    path : Path
    dialect, trait : str
    test : str or None
        None where the file holds all tests of the trait.
    n_rows : int
        Rows in the file.
    not_held : mapping
        Reason -> rows that the dialect cannot hold.
    sidecar : Path or None
        Where those rows are, with the reason.
    metadata : Path or None
        GWAS-SSF's YAML.
    """

    path: Path
    dialect: str
    trait: str
    test: str | None
    n_rows: int
    not_held: Mapping[str, int]
    sidecar: Path | None = None
    metadata: Path | None = None

    def __str__(self) -> str:
        text = f"{self.path}: {self.n_rows:,} rows of {self.trait} in the dialect {self.dialect}"
        if self.not_held:
            reasons = ", ".join(f"{reason} {n:,}" for reason, n in self.not_held.items())
            text += f"; {sum(self.not_held.values()):,} that it cannot hold are in {self.sidecar} ({reasons})"
        return text

    def record(self) -> dict[str, Any]:
        """As JSON values, for the provenance."""
        return {
            "dialect": self.dialect,
            "trait": self.trait,
            "test": self.test,
            "rows": self.n_rows,
            "not_held": dict(self.not_held),
            "sidecar": self.sidecar.name if self.sidecar else None,
        }


@dataclass(kw_only=True)
class _Open:
    """A file being written, and what is counted on the way."""

    group: Group
    path: Path
    output: TextOutput
    columns: list[pl.Expr]
    n_rows: int = 0
    not_held: dict[str, int] = field(default_factory=dict)
    rest: TableWriter | None = None
    meant: Mapping[str, str | None] = field(default_factory=dict)  # contigs whose meaning depends on the others
    facts: dict[str, Any] = field(default_factory=dict)
    last: tuple[int, int] = (0, 0)


def write_dialect(
    path: Path,
    dialect: str,
    pieces: Pieces,
    *,
    metadata: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    seal: Seal | None = None,
) -> list[WrittenFile]:
    """Write results in a dialect. Memory: one piece of rows.

    Parameters
    ----------
    path : Path
        The file. Where there are several traits, or tests that the dialect keeps apart, one file each with the
        trait (and test) put before the suffix: ``t2d.tsv.gz`` -> ``t2d.<trait>.tsv.gz``. Gzip where it ends in .gz.
    dialect : str
        One of `DIALECTS`.
    pieces : callable
        Gives the rows from the start, in frames; asked at least twice.
    metadata : mapping, optional
        Fields of GWAS-SSF's YAML that only the user knows.
    provenance : mapping, optional
        The record of the run.
    seal : callable, optional
        Called for each file when it is whole and before it appears: what it writes is there first; it may refuse.

    Raises
    ------
    OutputError
        If there is no such dialect, its files have other suffixes, the metadata has other fields, or a file
        cannot be written.
    """
    chosen = _dialect(path, dialect, metadata or {})
    groups, contigs = _groups(pieces(), chosen)
    meant = _meant(contigs, provenance or {}) if chosen.reason is not None else {}
    targets = _targets(path, chosen, list(groups))
    written: list[WrittenFile] = []
    for start in range(0, len(groups), _FILES_AT_ONCE):
        some = dict(list(groups.items())[start : start + _FILES_AT_ONCE])
        written += _write_groups(chosen, some, targets, pieces, metadata or {}, provenance or {}, seal, meant)
    return written


def _dialect(path: Path, name: str, metadata: Mapping[str, Any]) -> Dialect:
    if name not in DIALECTS:
        raise OutputError(f"there is no dialect '{name}'; there are {', '.join(DIALECTS)}.")
    dialect = DIALECTS[name]
    wrong = dialect.split_name(path.name)[1] == "" if dialect.only_suffixes else path.suffix == ".parquet"
    if wrong:
        raise OutputError(
            f"a file in the dialect '{name}' ends in {' or '.join(dialect.suffixes)}, not as {path.name}."
        )
    if metadata and name != "gwas-ssf":
        raise OutputError(f"metadata is written beside GWAS-SSF files only, not in the dialect '{name}'.")
    check_fields(metadata)
    return dialect


Key = tuple[str, str | None]  # trait, and test where a file holds one


def _meant(contigs: Iterable[str], provenance: Mapping[str, Any]) -> dict[str, str | None]:
    """Contigs that mean something else beside each other than alone; what the run decided, which knew lengths, comes first."""
    decided = Contigs.of(contigs).decided
    return decided | {name: kind for name, kind in provenance.get("contigs", {}).items() if name in contigs}


def _groups(pieces: Iterator[pl.DataFrame], dialect: Dialect) -> tuple[dict[Key, Group], dict[str, None]]:
    """What each file will hold, in order of first appearance; the contigs of all rows."""
    groups: dict[Key, Group] = {}
    contigs: dict[str, None] = {}
    columns: frozenset[str] = frozenset()
    for piece in pieces:
        columns = frozenset(piece.columns)
        if "chromosome" in columns:
            contigs |= dict.fromkeys(str(name) for name in piece["chromosome"].unique() if name is not None)
        other = pl.col("rsid").is_not_null() & ~pl.col("rsid").str.contains(r"^rs[0-9]+$").fill_null(False)
        kinds = piece.group_by("trait", "test", "method", maintain_order=True).agg(other.any())
        for trait, test, method, other_ids in kinds.iter_rows():
            key = (str(trait), str(test) if dialect.one_test else None)
            group = groups.get(key) or Group(key[0], key[1], columns)
            groups[key] = replace(
                group,
                methods=group.methods | ({method} if method is not None else set()),
                tests=group.tests | {test},
                other_ids=group.other_ids or bool(other_ids),
            )
    if not groups:
        groups[("", None)] = Group("", None, columns)
    return groups, contigs


def _targets(path: Path, dialect: Dialect, keys: Sequence[Key]) -> dict[Key, Path]:
    """A file name for each, no two the same."""
    if len(keys) == 1:
        return {keys[0]: path}
    stem, suffix = dialect.split_name(path.name)
    several_traits = len({trait for trait, _ in keys}) > 1
    several_tests = len({test for _, test in keys}) > 1
    targets: dict[Key, Path] = {}
    for trait, test in keys:
        parts = [trait] * several_traits + [str(test)] * several_tests
        name = dialect.joint.join([stem, *(re.sub(r"[^\w.+-]", "_", part) for part in parts)])
        taken = {target.name for target in targets.values()}
        number = 2
        unique = name
        while unique + suffix in taken:  # traits that differ in signs that file names cannot have
            unique, number = f"{name}-{number}", number + 1
        targets[trait, test] = path.with_name(unique + suffix)
    return targets


def _write_groups(
    dialect: Dialect,
    groups: Mapping[Key, Group],
    targets: Mapping[Key, Path],
    pieces: Pieces,
    metadata: Mapping[str, Any],
    provenance: Mapping[str, Any],
    seal: Seal | None,
    meant: Mapping[str, str | None],
) -> list[WrittenFile]:
    with ExitStack() as beside, ExitStack() as stack:  # files that may be refused come first, those beside them after
        files: dict[Key, _Open] = {}

        def sealed(key: Key) -> None:
            if seal is not None:
                written = _described(dialect, files[key]).record()
                seal(targets[key], {**provenance, "written": written}, files[key].output.digest)

        for key, group in groups.items():
            writing = text_output(targets[key], dialect.separator, dialect.missing, partial(sealed, key))
            output = stack.enter_context(writing)
            files[key] = _Open(group=group, path=targets[key], output=output, columns=dialect.write(group), meant=meant)
            empty = pl.DataFrame(schema=dict.fromkeys(sorted(group.columns), pl.String))
            names = [expression.meta.output_name() for expression in files[key].columns] if empty.width else []
            output.header(names)
        for piece in pieces():
            by = ["trait", "test"] if dialect.one_test else ["trait"]
            for values, rows in piece.partition_by(by, maintain_order=True, as_dict=True).items():
                file = files.get((str(values[0]), str(values[1]) if dialect.one_test else None))
                if file is not None:
                    _append(dialect, file, rows, beside)
    return [_finish(dialect, file, metadata, provenance) for file in files.values()]


def _append(dialect: Dialect, file: _Open, rows: pl.DataFrame, stack: ExitStack) -> None:
    # A column without any value was read from text as a column of text.
    types = [pl.col(name).cast(TYPES[name]) for name, kind in rows.schema.items() if kind != TYPES.get(name, kind)]
    rows = rows.with_columns(types).with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
    # An interval without an end: these files have no number for infinity.
    ends = [pl.col(name) for name in ("ci_lower", "ci_upper") if name in rows.columns]
    rows = rows.with_columns(pl.when(end.is_finite()).then(end) for end in ends)
    if dialect.reason is not None:
        given = rows
        if file.meant:
            rows = rows.with_columns(pl.col("chromosome").cast(pl.String).replace(file.meant))
        reasons = rows.select(dialect.reason.alias("reason"))["reason"]
        if reasons.null_count() < rows.height:
            refused = given.with_columns(reasons).filter(pl.col("reason").is_not_null())
            for reason, n in refused["reason"].value_counts().sort("reason").iter_rows():
                file.not_held[reason] = file.not_held.get(reason, 0) + n
            if file.rest is None:
                file.rest = stack.enter_context(open_table(_sidecar(dialect, file.path)))
            file.rest.write(refused)
            rows = rows.filter(reasons.is_null())
        _look(file, rows)
    if rows.height:
        file.output.rows(rows.select(file.columns))
        file.n_rows += rows.height


def _look(file: _Open, rows: pl.DataFrame) -> None:
    """What the metadata says of the rows written: order, sizes, the rarest allele."""
    if not rows.height:
        return
    places = rows.select(chromosome_code().cast(pl.Int64).alias("c"), pl.col("base_pair_location").alias("p"))
    key = pl.select(places["c"] * 2**40 + places["p"]).to_series()
    start = file.last[0] * 2**40 + file.last[1]
    facts = file.facts
    facts["is_sorted"] = facts.get("is_sorted", True) and key.is_sorted() and key[0] >= start
    file.last = (int(places["c"][-1]), int(places["p"][-1]))
    frequency = rows["effect_allele_frequency"]
    rarest = pl.select(pl.min_horizontal(frequency, 1 - frequency).min()).item()
    facts["minor_allele_freq_lower_limit"] = min(facts.get("minor_allele_freq_lower_limit", 0.5), rarest)
    for name, column in (("sample_size", "n"), ("case_count", "n_cases"), ("control_count", "n_controls")):
        most = rows[column].max() if column in rows.columns else None
        if most is not None:
            facts[name] = max(facts.get(name, 0), int(most))  # type: ignore[arg-type]
    if "case_count" in facts:
        facts["case_control_study"] = True


def _sidecar(dialect: Dialect, path: Path) -> Path:
    return path.with_name(f"{dialect.stem_of(path.name)}.not-in-{dialect.name}.tsv.gz")


def _described(dialect: Dialect, file: _Open, metadata: Path | None = None) -> WrittenFile:
    sidecar = _sidecar(dialect, file.path) if file.not_held else None
    return WrittenFile(
        file.path, dialect.name, file.group.trait, file.group.test, file.n_rows, file.not_held, sidecar, metadata
    )


def _finish(dialect: Dialect, file: _Open, metadata: Mapping[str, Any], provenance: Mapping[str, Any]) -> WrittenFile:
    beside = None
    if dialect.reason is not None:
        if not file.not_held:
            _sidecar(dialect, file.path).unlink(missing_ok=True)  # of an earlier table of this name
        facts = {
            "trait_description": [file.group.trait],
            "data_file_md5sum": file.output.md5.hexdigest(),
            "is_sorted": True,
            **file.facts,
        }
        beside = write_metadata(file.path, facts, metadata, provenance)
    return _described(dialect, file, beside)

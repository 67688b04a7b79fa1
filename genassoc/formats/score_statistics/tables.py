"""Files of score statistics in genassoc's own layout: one parquet, a row a variant, set and trait."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genassoc.data.integrity import Digesting
from genassoc.data.output import replacing, target_of
from genassoc.data.parquet import ParquetFile, encoded
from genassoc.data.score_statistics import SCORE_SCHEMA, SetStatistics, sets_of
from genassoc.data.sidecar import write_record
from genassoc.data.strangers import MalformedError
from genassoc.errors import InputError, OutputError


@dataclass(frozen=True)
class ScoreTable:
    """A file of score statistics, opened: which sets it has, read when they are asked for.

    Attributes
    ----------
    path : Path
    name : str
        What the cohort is called.
    sets : DataFrame
        set_id, trait, chromosome, start, end, first, n_variants: ``first`` is the set's first row.
    """

    path: Path
    name: str
    sets: pl.DataFrame

    @property
    def traits(self) -> list[str]:
        """In order of appearance."""
        return self.sets["trait"].unique(maintain_order=True).to_list()

    def read(self, trait: str, set_ids: list[str]) -> dict[str, SetStatistics]:
        """Some of its sets, those that it has.

        Raises
        ------
        InputError
            A set's numbers are no scores with covariances.
        """
        wanted = self.sets.filter((pl.col("trait") == trait) & pl.col("set_id").is_in(set_ids)).sort("first")
        found: dict[str, SetStatistics] = {}
        try:
            for first, n in _runs(wanted):
                rows = pl.scan_parquet(self.path, glob=False).slice(first, n).select(*SCORE_SCHEMA).collect()
                for one in sets_of(rows):
                    if one.trait == trait and one.set_id in wanted["set_id"]:
                        found[one.set_id] = one
        except MalformedError as error:
            raise InputError(f"{self.path} holds no score statistics that could be used: {error}.") from error
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{self.path} cannot be read: {error}") from error
        return found


def _runs(sets: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """First row and number of rows of sets that lie side by side, or nearly."""
    start = stop = -1
    for first, n in sets.select("first", "n_variants").iter_rows():
        if start >= 0 and first == stop:
            stop = first + n
            continue
        if start >= 0:
            yield start, stop - start
        start, stop = first, first + n
    if start >= 0:
        yield start, stop - start


_MOST_SAMPLES = 2**40


def _faults() -> dict[str, pl.Expr]:
    """What numbers of a row cannot be, in words, and where they are."""

    def outside(name: str, most: pl.Expr | float, slack: float = 0.0) -> pl.Expr:
        # NaN is greater than all numbers
        return (pl.col(name) < 0) | (pl.col(name) > most + slack)

    n = pl.col("n")
    return {
        "an allele is absent": pl.col("other_allele").is_null() | pl.col("effect_allele").is_null(),
        "the position is negative": pl.col("base_pair_location") < 0,
        f"n is absent, 0 or above {_MOST_SAMPLES:,}": n.is_null() | ~n.is_between(1, _MOST_SAMPLES),
        "n_events is below 0 or above n": outside("n_events", n),
        "allele_number is absent, below 0 or above 2 n": pl.col("allele_number").is_null()
        | outside("allele_number", 2 * n),
        "allele_count is absent, below 0 or above allele_number": pl.col("allele_count").is_null()
        | outside("allele_count", pl.col("allele_number"), 1e-6),  # a sum of dosages
        "n_carriers is below 0 or above n": outside("n_carriers", n),
        "n_event_carriers is below 0 or above n_events": outside("n_event_carriers", pl.col("n_events")),
    }


def open_scores(path: Path, name: str | None = None) -> ScoreTable:
    """Open a file in genassoc's layout; only who is where is read, not the numbers.

    Raises
    ------
    InputError
        It is none: a column is absent or of another type; a set lies in several places, or on several chromosomes.
    """
    try:
        lazy = pl.scan_parquet(path, glob=False)
        schema = lazy.collect_schema()
        lacking = [column for column in SCORE_SCHEMA if column not in schema.names()]
        if lacking:
            raise InputError(
                f"{path} is no file of score statistics: it has no column {', '.join(lacking)}. associate_sets(scores_out=) writes one."
            )
        wrong = [f"{column} ({schema[column]})" for column, kind in SCORE_SCHEMA.items() if schema[column] != kind]
        if wrong:
            raise InputError(f"{path}: columns of another type than score statistics have: {', '.join(wrong)}.")
        faults = (
            lazy.select(*(is_bad.any().alias(why) for why, is_bad in _faults().items())).collect().row(0, named=True)
        )
        places = lazy.select("set_id", "trait", "chromosome", "base_pair_location").with_row_index("row").collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as a file of score statistics: {error}") from error
    if places.select(pl.any_horizontal(pl.all().is_null()).any()).item():
        raise InputError(f"{path}: a row has no set_id, trait, chromosome or base_pair_location.")
    for why, found in faults.items():
        if found:
            raise InputError(f"{path}: of a row {why}; write the file again.")
    sets = (
        places.group_by("set_id", "trait", maintain_order=True)
        .agg(
            pl.col("chromosome").first(), pl.col("chromosome").n_unique().alias("contigs"),
            pl.col("base_pair_location").min().alias("start"), pl.col("base_pair_location").max().alias("end"),
            pl.col("row").min().cast(pl.Int64).alias("first"), pl.col("row").max().cast(pl.Int64).alias("last"),
            pl.len().cast(pl.Int64).alias("n_variants"),
        )
    )  # fmt: skip
    for fault, words in (
        (pl.col("contigs") > 1, "lies on several chromosomes"),
        (pl.col("last") - pl.col("first") + 1 != pl.col("n_variants"), "lies in several places of the file"),
    ):
        if (bad := sets.filter(fault)).height:
            raise InputError(f"{path}: set {bad['set_id'][0]} (trait {bad['trait'][0]}) {words}; write the file again.")
    return ScoreTable(path, name or path.stem, sets.drop("contigs", "last"))


def write_scores(
    path: Path, frames: Iterable[pl.DataFrame], record: Mapping[str, object] | None = None, *, min_carriers: int = 1
) -> dict[str, int]:
    """Write rows of score statistics (`genassoc.data.score_statistics.score_rows`); the file is there whole or not at all.

    Parameters
    ----------
    path : Path
        Ends in .parquet.
    frames : iterable of DataFrame
        One or more whole sets each.
    record : mapping, optional
        What produced it, for the record beside it.
    min_carriers : int
        Variants with fewer carriers, but at least one, are left out of every set and counted: the score of a variant with one
        carrier is that person's residual.

    Returns
    -------
    dict of str to int
        rows, and left_out.
    """
    if path.suffix != ".parquet":
        raise OutputError(
            f"{path}: score statistics are written as .parquet; for RAREMETAL's text see write_raremetal."
        )
    counts = {"rows": 0, "left_out": 0}
    digests: list[Digesting] = []

    def sealed() -> None:
        if record is not None:
            write_record(
                path, {**record, "score_statistics": counts | {"min_carriers": min_carriers}}, digests[0].digest
            )

    with replacing(target_of(path), sealed=sealed) as raw:
        digests.append(Digesting(raw))
        out = ParquetFile(digests[0])
        any_yet = False
        for frame in frames:
            kept = with_carriers(frame.select(SCORE_SCHEMA.keys()).cast(dict(SCORE_SCHEMA)), min_carriers)  # type: ignore[arg-type]
            counts["rows"] += kept.height
            counts["left_out"] += frame.height - kept.height
            if kept.height or not any_yet:
                group, data = encoded(kept)
                out.add(group, [data])
                any_yet = True
        if not any_yet:
            group, data = encoded(pl.DataFrame(schema=SCORE_SCHEMA))
            out.add(group, [data])
        out.close()
    return counts


def with_carriers(rows: pl.DataFrame, least: int) -> pl.DataFrame:
    """Rows without variants that have a carrier but fewer than ``least``, nor their covariances with others."""
    few = pl.col("n_carriers").is_between(1, least - 1)
    if least <= 1 or not rows.select(few.any()).item():
        return rows
    frames = []
    for _, one in rows.group_by("set_id", "trait", maintain_order=True):
        keep = one.select(~few).to_series()
        lists = [covariance.filter(keep[at:]) for at, covariance in enumerate(one["covariance"])]
        frames.append(one.with_columns(pl.Series("covariance", lists, dtype=SCORE_SCHEMA["covariance"])).filter(keep))
    return pl.concat(frames)

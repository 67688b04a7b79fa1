"""What a report says of results, from a few passes over their rows, a piece at a time: memory does not grow with them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from genassoc.data.result_summary import P_VALUE, has_p, medians_of
from genassoc.plots.groups import MAF_BINS
from genassoc.plots.panel import lead_variants
from genassoc.results import Results, SetResults
from genassoc.stats.inflation import genomic_inflation

SIGNIFICANT, SUGGESTIVE = 5e-8, 1e-5
DISTANCE = 500_000  # base pairs on either side of a lead that belong to its locus
_LINES = {SIGNIFICANT: 7.301029995663981, SUGGESTIVE: 5.0}
_MOST_CANDIDATES = (
    400_000  # rows held at once: of more the strongest of each trait and test, whose first leads are exact
)
_MOST_LEADS = 25  # rows of a table of leads
KEYS = ("trait", "test")
_FREQUENCY, _BIN = "effect_allele_frequency", "bin"
NO_BIN = len(MAF_BINS) + 1  # rows without a frequency
_MEANS = ("missing_rate", "info", "r2")
LEAD_COLUMNS = (
    "chromosome", "base_pair_location", "effect_allele", "other_allele", "variant_id", "rsid", _FREQUENCY, "n", "mac", "beta",
    "standard_error", "ci_lower", "ci_upper", P_VALUE, "trait", "test", "method", "code", "n_cases", "n_controls", "n_events",
    "effect_allele_frequency_cases", "effect_allele_frequency_controls",
)  # fmt: skip
SET_COLUMNS = (
    "set_id", "chromosome", "start", "end", "mask", "max_maf", "trait", "test", "n_variants", "mac", "n_carriers",
    "n_carriers_cases", "n_carriers_controls", "n", "beta", "standard_error", P_VALUE, "method", "code", "top_variants",
)  # fmt: skip


@dataclass(frozen=True)
class Bin:
    """Rows of one bin of minor allele frequency.

    Attributes
    ----------
    number : int
        0 is the most frequent one; `NO_BIN` is of rows without a frequency.
    n_rows, n_p : int
        Rows, and those with a p.
    inflation : float or None
    means : mapping
        Means over the rows that have it of "missing_rate", "info", "r2".
    """

    number: int
    n_rows: int
    n_p: int
    inflation: float | None
    means: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Group:
    """One trait and test.

    Attributes
    ----------
    trait, test : str
    n_rows, n_p : int
    inflation : float or None
    codes, methods : mapping
        Rows with each code, with each method.
    bins : tuple of Bin
    leads : DataFrame
        Strongest rows: lead variants whose p is below ``level``, at most 25; of sets the strongest rows.
    n_loci : int
        Leads below `SIGNIFICANT`.
    level : float
    """

    trait: str
    test: str
    n_rows: int
    n_p: int
    inflation: float | None
    codes: Mapping[str, int]
    methods: Mapping[str, int]
    bins: tuple[Bin, ...]
    leads: pl.DataFrame
    n_loci: int
    level: float

    @property
    def key(self) -> str:
        """What stands for it in the page's attributes."""
        return f"{self.trait}|{self.test}"

    @property
    def has_leads(self) -> bool:
        """Whether a row is significant, or suggestive."""
        return self.leads.height > 0


@dataclass(frozen=True)
class Facts:
    """All of it.

    Attributes
    ----------
    results : Results
    groups : tuple of Group
        In the order of the results.
    n_rows : int
    names : tuple of str
        Columns of the results.
    record : mapping
        Their provenance; empty where there is none.
    threshold : float
        Of a significant row: 5e-8; of sets 0.05 over all tests.
    n_tests : int
        Rows with a p, those of sets without a variant left out.
    """

    results: Results
    groups: tuple[Group, ...]
    n_rows: int
    names: tuple[str, ...]
    record: Mapping[str, object] = field(default_factory=dict)
    threshold: float = SIGNIFICANT
    n_tests: int = 0

    @property
    def of_sets(self) -> bool:
        """Whether rows are of sets of variants."""
        return isinstance(self.results, SetResults)

    @property
    def traits(self) -> list[str]:
        """Names of the traits."""
        return list(dict.fromkeys(group.trait for group in self.groups))


def facts_of(results: Results) -> Facts:
    """Look through the rows."""
    names = tuple(results.scan().collect_schema().names())
    counts, strong = _counted(results, names)
    of_sets = isinstance(results, SetResults)
    inflation = _inflation(results, names, by_bin=False)
    by_bin = {} if of_sets or _FREQUENCY not in names else _inflation(results, names, by_bin=True)
    n_tests = int(counts["n_p"].sum()) if counts.height else 0
    threshold = 0.05 / max(1, n_tests) if of_sets else SIGNIFICANT
    groups = []
    for (trait, test), rows in counts.partition_by(KEYS, maintain_order=True, as_dict=True).items():
        mine = strong.filter(pl.col("trait").eq_missing(trait) & pl.col("test").eq_missing(test))
        leads, n_loci, level = _strongest(mine) if of_sets else _leads(mine)
        groups.append(
            Group(
                trait=str(trait), test=str(test), n_rows=int(rows["n_rows"].sum()), n_p=int(rows["n_p"].sum()),
                inflation=inflation.get((str(trait), str(test))), codes=_by(rows, "code"), methods=_by(rows, "method"),
                bins=() if of_sets else _bins(rows, str(trait), str(test), by_bin), leads=leads, n_loci=n_loci, level=level,
            )
        )  # fmt: skip
    n_rows = sum(group.n_rows for group in groups)
    return Facts(results, tuple(groups), n_rows, names, results.provenance, threshold, n_tests)


def _pieces(results: Results, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Pieces of the rows; of sets without rows that leave a variant out."""
    if not isinstance(results, SetResults):
        yield from results.pieces_of(columns)
        return
    for piece in results.pieces_of([*dict.fromkeys((*columns, "left_out"))]):
        yield piece.filter(pl.col("left_out").is_null()).select(columns)


def _bin() -> pl.Expr:
    """The bin of a row's minor allele frequency, as of `genassoc.plots.qq`."""
    frequency = pl.col(_FREQUENCY)
    maf = pl.min_horizontal(frequency, 1.0 - frequency)
    number = pl.sum_horizontal([(maf < edge).cast(pl.Int64) for edge in MAF_BINS])
    known = frequency.is_not_null() & frequency.is_not_nan()
    return pl.when(known).then(number).otherwise(NO_BIN)


def _counted(results: Results, names: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows by trait, test, bin, code and method; and the rows that may be leads."""
    of_sets = isinstance(results, SetResults)
    wanted = [name for name in (SET_COLUMNS if of_sets else LEAD_COLUMNS) if name in names]
    means = [name for name in _MEANS if name in names]
    keys = [*KEYS, _BIN, "code", "method"]
    sums = [pl.col(f"{name}_{what}").sum() for name in means for what in ("sum", "n")]
    total: pl.DataFrame | None = None
    strong: pl.DataFrame | None = None
    for piece in _pieces(results, [*dict.fromkeys((*wanted, *means))]):
        rows = piece.with_columns(
            (_bin() if _FREQUENCY in names and not of_sets else pl.lit(NO_BIN, pl.Int64)).alias(_BIN),
            *(pl.lit(None, pl.String).alias(name) for name in ("code", "method") if name not in names),
        )
        counted = rows.group_by(keys, maintain_order=True).agg(
            pl.len().cast(pl.Int64).alias("n_rows"), has_p().sum().cast(pl.Int64).alias("n_p"),
            *(pl.col(name).fill_nan(None).sum().cast(pl.Float64).alias(f"{name}_sum") for name in means),
            *(pl.col(name).fill_nan(None).count().cast(pl.Int64).alias(f"{name}_n") for name in means),
        )  # fmt: skip
        total = counted if total is None else pl.concat([total, counted])
        total = total.group_by(keys, maintain_order=True).agg(pl.col("n_rows", "n_p").sum(), *sums)
        found = piece.select(wanted).filter(has_p() & (pl.lit(of_sets) | (pl.col(P_VALUE) >= _LINES[SUGGESTIVE])))
        strong = _kept(found if strong is None else pl.concat([strong, found], how="vertical_relaxed"), of_sets)
    assert total is not None and strong is not None  # an empty table is a piece too
    return total, strong


def _kept(strong: pl.DataFrame, of_sets: bool) -> pl.DataFrame:
    """The rows in their order; of sets, and where they are very many, the strongest of each trait and test."""
    if not of_sets and strong.height <= _MOST_CANDIDATES:
        return strong
    n_groups = strong.select(pl.struct(KEYS).n_unique()).item()
    most = _MOST_LEADS if of_sets else max(1000, _MOST_CANDIDATES // (2 * max(1, n_groups)))
    best = strong.with_row_index("_row").sort([P_VALUE, "_row"], descending=[True, False])
    return best.group_by(KEYS, maintain_order=True).head(most).sort("_row").select(strong.columns)


def _inflation(results: Results, names: Sequence[str], *, by_bin: bool) -> dict[tuple[str, ...], float]:
    """lambda_GC of each trait and test, or of each bin of these (whose number is the third of the key)."""

    def pieces(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        if not by_bin:
            yield from _pieces(results, columns)
            return
        for piece in _pieces(results, [*columns, _FREQUENCY]):
            yield piece.with_columns(test=pl.concat_str("test", _bin().cast(pl.String), separator="\n")).select(columns)

    medians = medians_of(partial(pieces))
    lower, higher = (medians[name].cast(pl.Float64).to_numpy() for name in ("lower", "higher"))
    found: Iterable[float] = genomic_inflation(lower, higher) if medians.height else []
    keys = [(str(trait), *str(test).rsplit("\n", int(by_bin))) for trait, test in medians.select(KEYS).iter_rows()]
    return {key: float(value) for key, value in zip(keys, found, strict=True) if value == value}


def _by(rows: pl.DataFrame, column: str) -> dict[str, int]:
    """How many rows have which value, the most frequent first."""
    counted = (
        rows.filter(pl.col(column).is_not_null()).group_by(column, maintain_order=True).agg(pl.col("n_rows").sum())
    )
    return {str(name): int(n) for name, n in counted.sort("n_rows", descending=True, maintain_order=True).iter_rows()}


def _bins(rows: pl.DataFrame, trait: str, test: str, inflation: Mapping[tuple[str, ...], float]) -> tuple[Bin, ...]:
    means = [name for name in _MEANS if f"{name}_sum" in rows.columns]
    summed = rows.group_by(_BIN).agg(
        pl.col("n_rows", "n_p").sum(), *(pl.col(f"{m}_sum", f"{m}_n").sum() for m in means)
    )
    made = []
    for row in summed.sort(_BIN).iter_rows(named=True):
        mean = {name: row[f"{name}_sum"] / row[f"{name}_n"] if row[f"{name}_n"] else None for name in means}
        found = inflation.get((trait, test, str(row[_BIN])))
        made.append(Bin(int(row[_BIN]), int(row["n_rows"]), int(row["n_p"]), found, mean))
    return tuple(made)


def _leads(strong: pl.DataFrame) -> tuple[pl.DataFrame, int, float]:
    """Leads, how many loci are significant, and the level that was used: of suggestive ones only where none is significant."""
    window = 2 * DISTANCE
    leads = lead_variants(strong, _LINES[SIGNIFICANT], window)
    if leads.height:
        return leads.head(_MOST_LEADS), leads.height, SIGNIFICANT
    return lead_variants(strong, _LINES[SUGGESTIVE], window).head(_MOST_LEADS), 0, SUGGESTIVE


def _strongest(strong: pl.DataFrame) -> tuple[pl.DataFrame, int, float]:
    """The strongest rows of sets; whether they are significant is said row by row."""
    best = strong.with_row_index("_row").sort([P_VALUE, "_row"], descending=[True, False]).head(_MOST_LEADS)
    return best.drop("_row"), 0, 1.0


def at_variant(facts: Facts, trait: str, row: Mapping[str, object]) -> pl.DataFrame:
    """All rows of a trait at the variant of ``row``, one a test, in the order of the results."""
    same = [
        pl.col(name).eq_missing(pl.lit(row[name]))
        for name in ("chromosome", "base_pair_location", "effect_allele", "other_allele")
    ]
    wanted = [name for name in LEAD_COLUMNS if name in facts.names]
    rows = facts.results.scan().filter(pl.col("trait") == trait, *same).select(wanted)
    return rows.collect(engine="streaming")

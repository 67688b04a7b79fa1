"""Lead variants: significant ones gathered into loci, by distance or by LD in the cohort's own store."""

from collections.abc import Callable

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import Contigs
from genassoc.data.cohort.ld import r2_with
from genassoc.data.cohort.variant_places import variant_numbers
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import GenassocError, PlanError
from genassoc.explanation.rebuilt import cohort_of
from genassoc.plots.genome import chromosome_rank
from genassoc.plots.series import P_VALUE, gather, scan_of
from genassoc.results import Results

_NEEDED = ("chromosome", "base_pair_location", P_VALUE)
_TEXT = ("variant_id", "rsid", "effect_allele", "other_allele", "trait", "test")
_NUMBERS = ("beta", "standard_error", "effect_allele_frequency", "mac")
_MOST = 2_000_000  # significant rows of a trait and test


def clump(
    results: Results | pl.DataFrame | pl.LazyFrame,
    *,
    distance: int = 500_000,
    r2: float | None = None,
    cohort: Cohort | None = None,
    p: float = 5e-8,
    trait: str | None = None,
    test: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Gather significant variants into loci, each with its lead: the one with the smallest p.

    The variant with the smallest p takes all significant ones within ``distance`` on either side; then the strongest of the rest does, and
    so on. With ``r2`` it takes only those whose r2 with it is at least that, in the samples of the cohort: what is near but independent
    is a lead of its own. Of equal p, what comes first in the genome leads.

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame
    distance : int
        Base pairs on either side of a lead.
    r2 : float, optional
        Between 0 and 1.
    cohort : Cohort, optional
        For r2: by default the results', or the one that their record names.
    p : float
        Variants with a p up to this one take part.
    trait, test : str, optional
        Only these; by default each trait and test by itself.
    tell : callable, optional
        Told which files are opened because the record names them; by default standard error is.

    Returns
    -------
    DataFrame
        One row a locus, the strongest first within a trait and test: ``trait, test, locus`` (from 1), the lead's ``chromosome,
        base_pair_location, variant_id, rsid, effect_allele, other_allele, beta, standard_error, neg_log_10_p_value,
        effect_allele_frequency, n, mac`` (null where the results have no such column), ``start`` and ``end`` of the locus,
        ``n_variants`` in it with its lead; with r2 also ``n_ld_unknown``: those in reach whose r2 is not known (not in the store, or the
        same in all samples), which stay apart.

    Raises
    ------
    PlanError
        ``distance``, ``r2`` or ``p`` is out of range.
    GenassocError
        A column is absent, or LD is asked for and there is no cohort.
    """
    _check(distance, r2, p)
    table = scan_of(results)
    names = table.collect_schema().names()
    if absent := [name for name in _NEEDED if name not in names]:
        raise GenassocError(f"the results lack {', '.join(absent)}; loci are made of {', '.join(_NEEDED)}.")
    for column, wanted in (("trait", trait), ("test", test)):
        if wanted is None:
            continue
        if column not in names:
            raise GenassocError(f"{column}={wanted!r} was asked for, but the results have no column {column!r}.")
        known = gather(table.select(pl.col(column).unique(maintain_order=True)))[column].to_list()
        if wanted not in known:
            raise GenassocError(
                f"the results have no {column} '{wanted}'; they have {', '.join(map(str, known[:12]))}."
            )
        table = table.filter(pl.col(column) == wanted)
    columns = [
        *(pl.col(name).cast(pl.String) if name in names else pl.lit(None, pl.String).alias(name) for name in _TEXT),
        pl.col("chromosome").cast(pl.String),
        pl.col("base_pair_location").cast(pl.Int64),
        pl.col(P_VALUE).cast(pl.Float64),
        pl.col("n").cast(pl.Int64) if "n" in names else pl.lit(None, pl.Int64).alias("n"),
        *(
            pl.col(name).cast(pl.Float64) if name in names else pl.lit(None, pl.Float64).alias(name)
            for name in _NUMBERS
        ),
    ]
    strong = gather(table.filter(pl.col(P_VALUE).is_finite(), pl.col(P_VALUE) >= -np.log10(p)).select(columns))
    if r2 is not None:
        cohort = _cohort(results, cohort, tell) if strong.height else None
    parts = [
        _loci(rows, distance, r2, cohort) for _, rows in strong.group_by("trait", "test", maintain_order=True)
    ] or [_loci(strong, distance, r2, cohort)]
    return pl.concat(parts)


def _check(distance: int, r2: float | None, p: float) -> None:
    if isinstance(distance, bool) or not isinstance(distance, int) or distance < 0:
        raise PlanError(f"distance={distance!r}: base pairs on either side of a lead, a whole number such as 500000")
    if r2 is not None and (isinstance(r2, bool) or not isinstance(r2, int | float) or not 0 < r2 <= 1):
        raise PlanError(f"r2={r2!r}: the least r2 with a lead, above 0 and up to 1, such as 0.1")
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 < p <= 1:
        raise PlanError(f"p={p!r}: the largest p that takes part, above 0 and up to 1, such as 5e-8")


def _cohort(
    results: Results | pl.DataFrame | pl.LazyFrame, cohort: Cohort | None, tell: Callable[[str], None] | None
) -> Cohort:
    if isinstance(results, Results):
        cohort = cohort_of(results, cohort, tell)
    if cohort is None:
        raise GenassocError(
            "r2= needs genotypes, and a table has none: pass cohort=, or leave r2= out to go by distance."
        )
    if not isinstance(cohort.store, GenotypeStore):
        raise GenassocError("r2= is of variants; these are predictors.")
    return cohort


def _loci(rows: pl.DataFrame, distance: int, r2: float | None, cohort: Cohort | None) -> pl.DataFrame:
    """The loci of one trait and test."""
    if rows.height > _MOST:
        raise GenassocError(
            f"{rows.height:,} variants have such a small p: too many to be loci (is the trait inflated?); pass a smaller p=."
        )
    contigs = Contigs.of(rows["chromosome"].unique().to_list())
    keys = {name: contigs.key(name) for name in rows["chromosome"].unique().to_list()}
    rank = {
        key: k
        for k, key in enumerate(sorted(set(keys.values()), key=lambda key: chromosome_rank(key.removeprefix("="))))
    }
    chromosome = np.array([rank[keys[name]] for name in rows["chromosome"].to_list()], dtype=np.int64)
    order = np.lexsort((rows["base_pair_location"].to_numpy(), chromosome))
    rows, chromosome = rows[order], chromosome[order]
    position = rows["base_pair_location"].to_numpy()
    place = chromosome * 2**40 + position  # chromosomes further apart than any distance
    low = np.searchsorted(place, place - min(distance, 2**38), side="left")
    high = np.searchsorted(place, place + min(distance, 2**38), side="right")
    numbers = variant_numbers(cohort.store, rows)[0] if r2 is not None and cohort is not None and rows.height else None
    free = np.ones(rows.height, dtype=np.bool_)
    found: list[tuple[int, int, int, int, int]] = []
    for k in np.argsort(-rows[P_VALUE].to_numpy(), kind="stable"):
        if not free[k]:
            continue
        near = np.arange(low[k], high[k])
        near, unknown = near[free[near]], 0
        if numbers is not None and cohort is not None and near.size > 1:
            ld = r2_with(cohort, int(numbers[k]), numbers[near])
            unknown = int((np.isnan(ld) & (near != k)).sum())
            assert r2 is not None
            near = near[(ld >= r2) | (near == k)]
        free[near] = False
        found.append((int(k), int(position[near].min()), int(position[near].max()), near.size, unknown))
    leads = np.array([one[0] for one in found], dtype=np.int64)
    more = {"start": 1, "end": 2, "n_variants": 3} | ({} if r2 is None else {"n_ld_unknown": 4})
    return rows[leads].select(
        "trait", "test", pl.Series("locus", np.arange(1, leads.size + 1), dtype=pl.Int64), "chromosome", "base_pair_location",
        "variant_id", "rsid", "effect_allele", "other_allele", "beta", "standard_error", P_VALUE, "effect_allele_frequency",
        "n", "mac",
        *(pl.Series(name, [one[at] for one in found], dtype=pl.Int64) for name, at in more.items()),
    )  # fmt: skip

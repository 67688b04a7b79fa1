"""Score statistics of sets of variants and their covariances: what cohorts exchange in place of genotypes.

Everything is of ALT: a score above 0 says that the outcome grows with copies of ALT. Nothing is of a single sample, but the score of
a variant with one carrier is that person's residual: see `formats.score_statistics.tables.write_scores`, which can leave such variants out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from genassoc.data.strangers import MalformedError
from genassoc.shapes import Array, BoolArray, Float64Array

SCORE_SCHEMA: dict[str, pl.DataType] = {
    "set_id": pl.String(),
    "trait": pl.String(),
    "chromosome": pl.String(),
    "base_pair_location": pl.Int64(),
    "other_allele": pl.String(),
    "effect_allele": pl.String(),
    "variant_id": pl.String(),
    "annotation": pl.String(),  # null: none
    "weight": pl.Float64(),  # of a column of weights; null: none
    "n": pl.Int64(),  # samples with the trait
    "n_events": pl.Int64(),  # cases or events among them; null: the trait has none
    "allele_number": pl.Int64(),  # alleles observed
    "allele_count": pl.Float64(),  # of ALT among them; a sum of dosages may be no whole number
    "n_carriers": pl.Int64(),  # of the rarer allele
    "n_event_carriers": pl.Int64(),
    "score": pl.Float64(),
    "score_sd": pl.Float64(),  # root of its variance
    "factor": pl.Float64(),  # by which score_sd is multiplied so that the score's tail is right; null: none is needed or known
    "covariance": pl.List(pl.Float64()),  # with itself, and with the variants after it in the set
}
_OPTIONAL = ("annotation", "weight")
MOST_VARIANTS = 20_000  # of a set: a covariance matrix has their square, 3 GB
_SLACK = 1e-6  # of a covariance against its bound, the product of standard deviations: files round to six digits


@dataclass(frozen=True)
class SetStatistics:
    """Score statistics of a set of variants for one trait in one cohort.

    Attributes
    ----------
    set_id, trait : str
    variants : DataFrame
        m rows: what `SCORE_SCHEMA` has of each, without score, score_sd, factor and covariance.
    U : float64 array (m,)
    V : float64 array (m, m)
    factor : float64 array (m,)
        1 where a variant has none.
    """

    set_id: str
    trait: str
    variants: pl.DataFrame
    U: Float64Array
    V: Float64Array
    factor: Float64Array

    @property
    def adjusted(self) -> Float64Array:
        """The covariance that tests use, (m, m): D V D, D the factors."""
        return self.factor[:, None] * self.V * self.factor

    def take(self, at: Array) -> "SetStatistics":
        """Some of its variants, by number or as a mask."""
        numbers = np.flatnonzero(at) if at.dtype == np.bool_ else at
        return SetStatistics(
            self.set_id, self.trait, self.variants[numbers], self.U[numbers], self.V[np.ix_(numbers, numbers)],
            self.factor[numbers],
        )  # fmt: skip


def score_rows(
    set_id: str,
    variants: pl.DataFrame,
    trait: str,
    U: Float64Array,
    V: Float64Array,
    *,
    n: int,
    allele_number: ArrayLike,
    allele_count: ArrayLike,
    n_carriers: ArrayLike,
    n_events: int | None = None,
    event_carriers: ArrayLike | None = None,
    flipped: BoolArray | None = None,
    factor: Float64Array | None = None,
) -> pl.DataFrame:
    """Rows of a file of score statistics: one set and trait.

    Parameters
    ----------
    set_id, trait : str
    variants : DataFrame
        m rows of the store's variants, in its order; ``annotation`` and ``weight`` where they have any.
    U : float64 array (m,)
    V : float64 array (m, m)
    n, n_events : int
        Samples with the trait, and cases or events among them.
    allele_number, allele_count : (m,)
        Alleles observed in these samples, and ALTs among them.
    n_carriers, event_carriers : (m,)
        Carriers of the rarer allele, and those with the event.
    flipped : bool array (m,), optional
        Of which variants U and V count copies of REF: they are turned.
    factor : float64 array (m,), optional
        What the standard deviations are multiplied by before they are used.
    """
    sign = np.ones(len(U)) if flipped is None else np.where(flipped, -1.0, 1.0)
    U, V = sign * U, sign[:, None] * V * sign
    m = len(U)
    values = {
        "n": np.full(m, n), "allele_number": allele_number, "allele_count": allele_count, "n_carriers": n_carriers,
        "n_event_carriers": event_carriers, "score": U + 0.0, "score_sd": np.sqrt(np.maximum(V.diagonal(), 0.0)), "factor": factor,
    }  # fmt: skip
    columns = [
        pl.lit(set_id).alias("set_id"),
        pl.lit(trait).alias("trait"),
        pl.lit(n_events, pl.Int64).alias("n_events"),
        pl.Series("covariance", [V[i, i:] + 0.0 for i in range(m)], dtype=SCORE_SCHEMA["covariance"]),
        *(_column(name, given) for name, given in values.items()),
    ]
    columns += [pl.lit(None).alias(name) for name in _OPTIONAL if name not in variants.columns]
    return variants.with_columns(columns).select(pl.col(name).cast(kind) for name, kind in SCORE_SCHEMA.items())


def _column(name: str, values: ArrayLike | None) -> pl.Series | pl.Expr:
    return pl.lit(None).alias(name) if values is None else pl.Series(name, np.asarray(values))


def sets_of(rows: pl.DataFrame) -> Iterator[SetStatistics]:
    """The sets in rows of a file, those of one set and trait side by side.

    Raises
    ------
    MalformedError
        A set has more than `MOST_VARIANTS` variants; its covariances are not as many as its variants need, not finite, or larger than
        their variances allow.
    """
    if not rows.height:
        return
    heads = rows.select(pl.struct("set_id", "trait").rle_id()).to_series().to_numpy()
    starts = np.flatnonzero(np.diff(heads, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], rows.height]):
        yield set_of(rows[int(start) : int(stop)])


def set_of(rows: pl.DataFrame) -> SetStatistics:
    """The set that all these rows are of; see `sets_of`."""
    set_id, trait, m = rows["set_id"][0], rows["trait"][0], rows.height
    who = f"set {set_id}, trait {trait}"
    if m > MOST_VARIANTS:
        raise MalformedError(f"{who}: it has {m:,} variants; at most {MOST_VARIANTS:,} are read")
    if not np.array_equal(rows["covariance"].list.len().fill_null(0).to_numpy(), np.arange(m, 0, -1)):
        raise MalformedError(
            f"{who}: a variant must have its covariance with itself and with each after it, and one has more or fewer"
        )
    upper = rows["covariance"].explode().cast(pl.Float64).to_numpy()
    U, sd = rows["score"].to_numpy(), rows["score_sd"].to_numpy()
    factor = rows["factor"].fill_null(1.0).to_numpy()
    V = np.zeros((m, m))
    V[np.triu_indices(m)] = upper
    V.T[np.triu_indices(m)] = upper
    check_statistics(who, U, sd, V, factor)
    return SetStatistics(set_id, trait, rows.drop("score", "score_sd", "factor", "covariance"), U, V, factor)


def check_statistics(who: str, U: Float64Array, sd: Float64Array, V: Float64Array, factor: Float64Array) -> None:
    """Refuse numbers that are no scores (m,) with covariances (m, m).

    Raises
    ------
    MalformedError
        One is not finite, a variance is not the square of its root, or a covariance is larger than its variances allow.
    """
    for name, values in (("score", U), ("score_sd", sd), ("factor", factor), ("covariance", V)):
        if not np.isfinite(values).all():
            raise MalformedError(f"{who}: a {name} is absent or no number")
    if (sd < 0).any() or (factor <= 0).any():
        raise MalformedError(f"{who}: a score_sd is negative, or a factor is not above 0")
    if (np.abs(V.diagonal() - sd * sd) > _SLACK * sd * sd).any():
        raise MalformedError(f"{who}: a variance in covariance is not the square of score_sd")
    bound = np.outer(sd, sd)
    if (np.abs(V) > (1.0 + _SLACK) * bound).any():
        raise MalformedError(f"{who}: a covariance is larger than the two variances allow")

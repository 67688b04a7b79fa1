"""Inflation beyond chance after a run: lambda outside the interval that it has without any, LD counted."""

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.integrity import FileDigest
from genassoc.data.sidecar import write_record
from genassoc.models.base import AssociationModel
from genassoc.models.registry import kind_of
from genassoc.results import Results

_BIN = 64  # rows that follow one another, counted together
_BLOCKS = 40  # stretches of the genome whose spread is the error of the whole: fewer are longer, and LD crosses their borders less
_LEAST_BLOCKS = 20
_CHANCE = 1e-3  # of a warning of any trait of a run without inflation
_LEAST = 1.02  # a lambda of no practical meaning, however surely above 1
_MEDIAN = 0.454936  # of chi-squared with 1 degree of freedom,
_DENSITY = 0.471108  # whose density there is this
_SHOWN = 5


def inflation_notes(results: Results, cohort: Cohort, model: AssociationModel) -> Iterator[str]:
    """A line on the traits whose lambda lies above the interval that it has without inflation.

    Half of the tests lie above the median without inflation. How far chance moves that share is told by its spread over forty stretches of the
    genome, so that tests in LD count as what they are, and no number of effective tests is assumed.
    """
    found = {group: _upper(above, n) for group, (above, n) in _shares(results).items()}
    surely = _quantile(1 - _CHANCE / max(1, len(found)))
    beyond = {group: 1 + surely * error for group, (z, error) in found.items() if z > surely}
    if not beyond:
        return
    values = results.lambda_gc()
    inflated = []
    for (trait, test), bound in beyond.items():
        value = values
        if not isinstance(values, float):
            value = values.filter(trait=trait, test=test)["lambda_gc"][0]
        if isinstance(value, float) and value > max(bound, _LEAST):
            of_test = "" if test == "add" else f" ({test})"
            inflated.append(f"{trait}{of_test} {value:.3f} (up to {bound:.3f} by chance)")
    if not inflated:
        return
    shown = ", ".join(inflated[:_SHOWN]) + (f" and {len(inflated) - _SHOWN:,} more" if len(inflated) > _SHOWN else "")
    if cohort.offsets is not None or kind_of(model) == "mixed":
        way = "relatives are accounted for, so look at principal components as covariates, at duplicates, and at what sets batches apart; many causal variants in LD raise it too"
    else:
        way = (
            "relatives (genassoc kinship) and ancestry without covariates (genassoc pca) do this, so that p values are too small, and a whole-genome regression "
            "(genassoc step1) accounts for both; so do many causal variants, which is no fault"
        )
    yield f"lambda_GC above what chance gives: {shown}: {way}"


def record_inflation(results: Results, digest: FileDigest, cohort: Cohort, model: AssociationModel) -> list[str]:
    """`inflation_notes`, kept in the record of results in a file of this digest too."""
    notes = [*inflation_notes(results, cohort, model)]
    if notes:
        assert results.path is not None
        results.provenance["notes"] += notes
        write_record(results.path, results.provenance, digest)
    return notes


def _quantile(p: float) -> float:
    """Of Student's t with `_BLOCKS` - 1 degrees of freedom, to the first order in their inverse (Hill 1970)."""
    z = NormalDist().inv_cdf(p)
    return z + (z**3 + z) / (4 * (_BLOCKS - 1))


def _shares(results: Results) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Of each trait and test: rows whose p is below one half, and rows, in bins of rows that follow one another."""
    parts: dict[tuple[str, str], list[np.ndarray]] = {}
    columns = ["trait", "test", "neg_log_10_p_value"]
    for piece in results.pieces_of(columns):
        known = piece.select(columns).filter(
            pl.col("neg_log_10_p_value").is_not_null() & pl.col("neg_log_10_p_value").is_not_nan()
        )
        for (trait, test), rows in known.partition_by("trait", "test", maintain_order=True, as_dict=True).items():
            above = rows["neg_log_10_p_value"].to_numpy() > math.log10(2)
            starts = np.arange(0, above.size, _BIN)
            counts = np.stack([np.add.reduceat(above.astype(np.int64), starts), np.diff(np.append(starts, above.size))])
            parts.setdefault((str(trait), str(test)), []).append(counts)
    joined = {group: np.concatenate(counts, axis=1) for group, counts in parts.items()}
    return {group: (counts[0], counts[1]) for group, counts in joined.items()}


def _upper(above: np.ndarray, n: np.ndarray) -> tuple[float, float]:
    """Standard errors by which the share lies above one half, and the standard error in units of lambda; 0 and infinity where rows are few."""
    if n.size < _LEAST_BLOCKS:
        return 0.0, math.inf
    edges = np.linspace(0, n.size, min(_BLOCKS, n.size) + 1).round().astype(int)[:-1]
    above, n = np.add.reduceat(above, edges), np.add.reduceat(n, edges)
    share = above.sum() / n.sum()
    B = n.size
    error = math.sqrt(B / (B - 1) * float(((above - n * share) ** 2).sum())) / n.sum()
    if not error:
        return 0.0, math.inf
    return float(share - 0.5) / error, error / (_DENSITY * _MEDIAN)

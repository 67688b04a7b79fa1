"""The ledger: one row for every sample and variant, kept, or dropped and why."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.cohort.variant_selection import variant_ids
from genassoc.data.phenotypes.design import Design
from genassoc.shapes import Array, BoolArray

if TYPE_CHECKING:
    from genassoc.data.store.store import GenotypeStore

_AT_ONCE = 65_536  # variants whose metadata is read at a time
LEDGER_SCHEMA = dict.fromkeys(("kind", "id", "status", "reason", "detail"), pl.String)


def sample_ledger(genotyped: pl.Series, described: pl.Series, source: str) -> pl.DataFrame:
    """Ledger rows of all samples: those of the store in its order, then those in the phenotypes only."""
    matched = genotyped.is_in(described.to_list())
    of_store = pl.DataFrame({"id": genotyped}).with_columns(
        status=pl.Series(matched).replace_strict({True: "kept", False: "dropped"}, return_dtype=pl.String),
        reason=pl.when(~matched).then(pl.lit("not_in_phenotypes")),
        detail=pl.when(~matched).then(pl.lit(f"no row in {source}")),
    )
    extra = described.filter(~described.is_in(genotyped.to_list()))
    of_phenotypes = pl.DataFrame({"id": extra}).with_columns(
        status=pl.lit("dropped"),
        reason=pl.lit("not_in_genotypes"),
        detail=pl.lit("not in the genotype store"),
    )
    both = pl.concat([of_store, of_phenotypes.select(of_store.columns)])
    return both.select(pl.lit("sample").alias("kind"), *of_store.columns)


def drop_samples(ledger: pl.DataFrame, ids: Array, reasons: Array, details: Array) -> pl.DataFrame:
    """The ledger with the samples ``ids`` dropped, each for its reason, with its detail."""
    gone = pl.DataFrame(
        {"id": ids.tolist(), "reason": reasons.tolist(), "detail": details.tolist()},
        schema={"id": pl.String, "reason": pl.String, "detail": pl.String},
    ).with_columns(status=pl.lit("dropped"))
    return ledger.update(gone, on="id", how="left").select(list(LEDGER_SCHEMA))


def matched_by(ledger: pl.DataFrame, as_genotyped: pl.Series, as_written: pl.Series, rule: str) -> pl.DataFrame:
    """The ledger with a detail for each sample whose id differs in the table: its spelling there, and the rule."""
    differ = as_genotyped != as_written
    named = pl.DataFrame({"id": as_genotyped.filter(differ), "detail": as_written.filter(differ)})
    written = named.select("id", detail="'" + pl.col("detail") + f"' in the phenotypes, by id_rule '{rule}'")
    return ledger.update(written, on="id", how="left").select(list(LEDGER_SCHEMA))


def lacking_rows(ledger: pl.DataFrame, ids: Array, source: str) -> pl.DataFrame:
    """The ledger with a note on samples that are kept although a joined table has no row for them."""
    if len(ids) == 0:
        return ledger
    lacking = pl.DataFrame({"id": pl.Series([str(name) for name in ids], dtype=pl.String)}).with_columns(
        reason=pl.lit("not_in_covariates"), detail=pl.lit(f"no row in {source}: its columns are missing")
    )
    return ledger.update(lacking, on="id", how="left").select(list(LEDGER_SCHEMA))


def lacking_predictions(ledger: pl.DataFrame, ids: Array, traits: Sequence[str], of_all: BoolArray) -> pl.DataFrame:
    """The ledger with the samples ``ids`` (N,) that lack predictions of ``traits`` (N names in a text, or ""); ``of_all`` (N,): of
    all traits that they have, so that they are dropped.
    """
    who = [i for i, names in enumerate(traits) if names]
    if not who:
        return ledger
    lacking = pl.DataFrame(
        {
            "id": [str(ids[i]) for i in who],
            "status": ["dropped" if of_all[i] else "kept" for i in who],
            "reason": "no_prediction",
            "detail": [f"no prediction of {traits[i]}" for i in who],
        },
        schema={"id": pl.String, "status": pl.String, "reason": pl.String, "detail": pl.String},
    )
    return ledger.update(lacking, on="id", how="left").select(list(LEDGER_SCHEMA))


def design_ledger(sample_ids: Array, design: Design) -> pl.DataFrame:
    """Ledger rows of samples (N,) under a design: who lacks a covariate, who lacks every trait."""
    lacking = dict(zip(design.dropped_samples["id"], design.dropped_samples["covariate"]))
    n_missing = np.isnan(design.y).sum(axis=1)
    n_traits = len(design.traits)
    ledger: list[tuple[str, str, str, str | None, str | None]] = []
    for name, n in zip(sample_ids, n_missing):
        if name in lacking:
            ledger.append(("sample", name, "dropped", "missing_covariate", lacking[name]))
        elif n_traits and n == n_traits:
            ledger.append(("sample", name, "dropped", "missing_trait", ", ".join(design.traits[:5])))
        else:
            detail = f"missing in {n} of {n_traits} traits" if n else None
            ledger.append(("sample", name, "kept", None, detail))
    return pl.DataFrame(ledger, schema=LEDGER_SCHEMA, orient="row")


def variant_rows(ids: pl.Series, keep: BoolArray, reasons: list[str | None], waiting: str) -> pl.DataFrame:
    """Ledger rows of variants: kept, dropped for a reason, or pending (filters ``waiting`` for a run)."""
    status = np.where(keep, "pending" if waiting else "kept", "dropped")
    awaits = f"awaits a run: {waiting}" if waiting else None
    detail = [awaits if kept else None for kept in keep]
    return pl.DataFrame(
        {
            "kind": "variant",
            "id": ids,
            "status": status.tolist(),
            "reason": reasons,
            "detail": detail,
        },
        schema=LEDGER_SCHEMA,
    )


def variant_ledger(
    store: "GenotypeStore", select: Callable[[int, int], tuple[BoolArray, list[str | None]]], waiting: str
) -> pl.DataFrame:
    """Ledger rows of all variants of a store; ``select`` says of those from start to stop which are kept, and why others are not."""
    parts = [pl.DataFrame(schema=LEDGER_SCHEMA)]
    for start in range(0, int(store.n_variants), _AT_ONCE):
        stop = min(start + _AT_ONCE, int(store.n_variants))
        keep, reasons = select(start, stop)
        parts.append(variant_rows(store.variants(start, stop).select(variant_ids())["id"], keep, reasons, waiting))
    return pl.concat(parts)

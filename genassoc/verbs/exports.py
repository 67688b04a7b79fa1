"""Genotypes of a store for other programs: samples and variants chosen, in the format that the file's name says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.data.cohort import variants as predicates
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.matching import first_few
from genassoc.data.cohort.variant_selection import variant_ids
from genassoc.data.schema import METADATA_CHUNK
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError
from genassoc.formats.export import ExportSummary, export_cohort
from genassoc.formats.writing import Writing
from genassoc.progress import Progress
from genassoc.verbs.arguments import check_cohort
from genassoc.verbs.stores import known_samples, listed_ids, open_store, whole_store


def export(
    genotypes: Cohort | GenotypeStore | str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    region: str | Sequence[str] | None = None,
    samples: Sequence[str] | Path | str | None = None,
    variants: Sequence[str] | Path | str | None = None,
    keep: pl.Expr | None = None,
    maf: float | None = None,
    mac: float | None = None,
    missing: float | None = None,
    hwe: float | None = None,
    info: float | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    memory: str | int | None = None,
    **writing: Any,
) -> ExportSummary:
    """Write genotypes in a format of others: VCF, BCF, VCF Zarr, ...; the file is there whole or not at all.

    Parameters
    ----------
    genotypes : Cohort, GenotypeStore or path
        Of a cohort, the samples and variants that it keeps.
    out : path
        Its end says the format: .vcf.gz, .vcf, .bcf, .vcz, ...
    format : str, optional
        Its name, where the end shall be checked.
    region : str or sequence of str, optional
        ``contig`` or ``contig:first-last``.
    samples : sequence of str, or path, optional
        Ids, or a file with one at the start of each line.
    variants : sequence of str, or path, optional
        rsids or ids of the form chromosome_position_ref_alt, or a file with one at the start of each line.
    keep : polars expression, optional
        As `Cohort.keep_variants` takes it.
    maf, mac, missing, hwe, info : float, optional
        Least minor allele frequency and count, largest share of missing calls, least exact Hardy-Weinberg p, least imputation quality
        (`genassoc.data.cohort.variants.info_above`): of the samples written.
    threads, progress, overwrite, memory
        As in `genassoc.formats.export.export_cohort`.
    writing
        The fields of `genassoc.formats.writing.Writing`.

    Returns
    -------
    ExportSummary
        What was written and what was not kept; ``lines()`` for people.

    Raises
    ------
    InputError
        Samples, variants or regions that are not in the store.
    OutputError
        The format cannot hold something, a file is there already, the disk is full.
    """
    cohort = _cohort_of(genotypes)
    if samples is not None:
        cohort = cohort.keep_samples(known_samples(cohort, *listed_ids(samples, "samples")))
    notes: list[str] = []
    if variants is not None:
        wanted, origin = listed_ids(variants, "variants")
        notes = _unknown_variants(cohort.store, wanted, origin)
        listed = pl.col("rsid").is_in(wanted) | variant_ids().is_in(wanted)
        cohort = cohort.keep_variants(listed.fill_null(False).alias(f"a list of {len(wanted):,} ids"))
    if region is not None:
        cohort = cohort.keep_variants(predicates.in_region(*([region] if isinstance(region, str) else region)))
    bounds = (
        (maf, predicates.maf_above), (mac, predicates.mac_above), (missing, predicates.missing_below),
        (hwe, predicates.hwe_above), (info, predicates.info_above),
    )  # fmt: skip
    for bound, predicate in bounds:
        if bound is not None:
            cohort = cohort.keep_variants(predicate(bound))
    if keep is not None:
        cohort = cohort.keep_variants(keep)
    summary = export_cohort(
        cohort, out, format=format, threads=threads, progress=progress, overwrite=overwrite, memory=memory,
        writing=Writing(**writing),
    )  # fmt: skip
    summary.notes[:0] = notes
    return summary


def _cohort_of(genotypes: Cohort | GenotypeStore | str | Path) -> Cohort:
    if isinstance(genotypes, str | Path):
        genotypes = open_store(genotypes)
    if isinstance(genotypes, GenotypeStore):
        return whole_store(genotypes)
    check_cohort(genotypes, "export(genotypes, out)")
    return genotypes


def _unknown_variants(store: GenotypeStore, wanted: list[str], origin: str) -> list[str]:
    """A note on ids that the store does not have; `InputError` if it has none of them."""
    left = pl.Series(wanted, dtype=pl.String)
    for start in range(0, store.n_variants, METADATA_CHUNK):
        table = store.variants(start, min(start + METADATA_CHUNK, store.n_variants))
        left = left.filter(
            ~left.is_in(table["rsid"].implode()) & ~left.is_in(table.select(variant_ids())["id"].implode())
        )
        if not left.len():
            return []
    if left.len() == len(wanted):
        raise InputError(
            f"{origin}none of {len(wanted):,} ids of variants is in the store, such as {first_few(left)}; ids are rsids or "
            "chromosome_position_ref_alt, as in the results"
        )
    return [f"{left.len():,} of {len(wanted):,} ids of variants are not in the store: {first_few(left)}"]

"""The verbs: convert, open_store, associate, variant_qc, sample_qc, ... Each is a few calls of the rooms below."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.analyses.qc import SampleQuality
from genassoc.data.arguments import check_cohort, check_executor, check_model, kind_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.controls import Controls
from genassoc.data.forks import check_not_forked
from genassoc.data.integrity import FileDigest
from genassoc.data.output import check_outputs
from genassoc.data.sidecar import Record, write_record
from genassoc.data.store.call_counts import stored_statistics
from genassoc.data.store.notes import unread_dosages
from genassoc.data.store.store import GenotypeStore
from genassoc.engine.association import AssociationJob
from genassoc.engine.budget import check_before_fitting, fitted
from genassoc.engine.executors import Executor, Threads, single_threaded_blas
from genassoc.engine.parts import Merged
from genassoc.engine.plan import Plan, Task, fingerprint
from genassoc.engine.run import run_to_file
from genassoc.errors import PhenotypeError, ReusedWarning, UnreadDosagesWarning
from genassoc.explanation.audit import audited, check_rows
from genassoc.models.scan.genome import Scan
from genassoc.progress import Progress, Silent
from genassoc.provenance import Recorder, genassoc_version
from genassoc.results import Results
from genassoc.shapes import Int64Array
from genassoc.verbs.run_record import (
    describe,
    finish_record,
    input_files,
    inputs_of,
    reused_note,
    run_of,
    there_already,
    trait_notes,
    warn_of_columns,
)

if TYPE_CHECKING:
    import allel
    import dask.array


def convert(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    region: str | Sequence[str] | None = None,
    samples: Sequence[str] | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    memory: str | int | None = None,
) -> GenotypeStore:
    """Convert VCF, VCF.gz or BCF to a genotype store, once; a rerun resumes or finds it done.

    See `genassoc.formats.convert.convert` for the parameters and errors. What was read, split and dropped is in
    ``store.attributes["summary"]``.
    """
    from genassoc.formats.convert import convert as convert_files

    convert_files(
        inputs,
        out,
        region=region,
        samples=samples,
        threads=threads,
        progress=progress,
        overwrite=overwrite,
        memory=memory,
    )
    return GenotypeStore.open(out)


def open_store(path: str | Path) -> GenotypeStore:
    """Open a genotype store; nothing but its metadata is read.

    Raises
    ------
    StoreError
        It is absent, unfinished or damaged.
    TypeError
        It is no path.
    """
    if not isinstance(path, str | Path):
        raise TypeError(f"open_store(path): the path of a store is text or a Path, not {kind_of(path)}")
    return GenotypeStore.open(path)


def plan_association(cohort: Cohort, model: Any, *, n_parts: int = 1, settings: dict[str, Any] | None = None) -> Plan:
    """The tasks of an association run; its fingerprint covers all that decides the numbers."""
    return Plan.by_block(
        cohort.store.contig_runs(),
        cohort.store.block_variants,
        fingerprint(cohort=cohort.fingerprint, model=repr(model)),
        rows_per_variant=model.rows_per_variant,
        n_parts=n_parts,
        settings=settings,
    )


def association_job(cohort: Cohort, model: Any, plan: Plan) -> AssociationJob:
    """What the engine runs; the null models are fitted here, so that bad input is found before any work."""
    scan = Scan(model)
    with single_threaded_blas():
        state = scan.prepare(cohort)
    _check_enough_samples(cohort, model, state)
    return AssociationJob(cohort, scan, plan.block_variants, state)


def _check_enough_samples(cohort: Cohort, model: Any, state: Any) -> None:
    """Refuse a run in which no trait has more samples than the model has coefficients."""
    sizes = [(null.n, getattr(null, "n_covariates", None) or null.Q.shape[1]) for null in getattr(state, "nulls", ())]
    if not sizes or any(n > C + 1 for n, C in sizes):  # the genotype's coefficient is one more
        return
    design = cohort.design((), model.covariates)
    C = len(design.covariates) + len(design.dropped_covariates)
    raise PhenotypeError(
        f"too few samples: {max(state.n_by_trait)} have a trait and all covariates, and the model has {C} columns of "
        "covariates, the intercept included, beside the genotype: no estimate is possible. Use fewer covariates."
    )


def associate(
    cohort: Cohort,
    model: Any,
    *,
    out: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    audit: int | None = None,
    memory: str | int | None = None,
    for_spreadsheets: bool = False,
) -> Results:
    """Test every selected variant of a cohort against every trait of a model.

    Parameters
    ----------
    cohort : Cohort
    model : Linear, ...
        Choices, never data.
    out : path, optional
        Results file (.parquet, .tsv, .tsv.gz). Rows stream to parts beside it; a killed run carries on from them.
        Without it the rows lie in a temporary file that lives as long as the `Results`.
    executor : Serial, Threads, optional
        `Threads()` by default. The results do not depend on it.
    progress : Progress, optional
    restart : bool
        Begin anew: throw away the parts of an interrupted run, and replace results that are at ``out`` already.
    audit : int, optional
        Rows to fit again by independent dense code (half at random, half with the smallest p); what it found is in the
        provenance, and rows beyond tolerance are an `AuditWarning`. 200 on the command line.
    memory : str or int, optional
        A cap for this process, as "4GiB": threads, blocks and tasks follow from it.
    for_spreadsheets : bool
        Text only: an apostrophe before ids that a spreadsheet would compute (those that begin with = + - @).

    Returns
    -------
    Results
        One row for each variant x trait x test, in store order. Where ``out`` holds these very results already, whole, they
        are returned as they are, with a `ReusedWarning`.

    Raises
    ------
    PhenotypeError
        A trait or covariate is absent, constant or not of the kind the model needs.
    OutputError, PlanError
        As `genassoc.engine.run.run_to_file`; ``out`` is an input of the run, or holds other results (says what differs).
    GenassocError
        No variant is left to test.
    TypeError
        An argument is not of its kind.
    """
    check_not_forked()
    check_cohort(cohort, "associate(cohort, model)")
    check_model(model)
    check_executor(executor)
    n_rows = check_rows(audit)
    if out is None:
        folder = tempfile.TemporaryDirectory(prefix="genassoc-")
        results = associate(
            cohort,
            model,
            out=Path(folder.name) / "results.parquet",
            executor=executor,
            progress=progress,
            audit=audit,
            memory=memory,
        )
        results.folder = folder
        return results
    out = Path(out)
    check_outputs([out], input_files(cohort))
    for note in unread_dosages(cohort.store):
        warnings.warn(note, UnreadDosagesWarning, stacklevel=2)
    recorder = Recorder(parameters=describe(cohort, model), inputs=inputs_of(cohort))
    plan = plan_association(cohort, model)
    identity = run_of(plan.fingerprint, for_spreadsheets)
    found = None if restart else there_already(out, recorder, identity)
    if found is not None:
        return _reused(out, found, cohort, n_rows)
    check_before_fitting(cohort, model, memory)
    job = association_job(cohort, model, plan)
    warn_of_columns(job.state.cautions, job.state.notes)
    run = fitted(job, plan, executor, memory, model.rows_per_variant)
    record: dict[str, Any] = {}

    def seal(merged: Merged) -> None:
        record.update(finish_record(recorder, cohort, model, job.state, merged.counts.to_dict(), identity))
        record["notes"] += run.notes
        write_record(out, record, merged.digest)

    merged = run_to_file(
        run.job, run.plan, run.executor, out, progress or Silent(),
        restart=restart, seal=seal, for_spreadsheets=for_spreadsheets,
    )  # fmt: skip
    return _audited(Results(out, record, cohort).vouched(merged.digest), merged.digest, cohort, n_rows)


def _reused(out: Path, found: Record, cohort: Cohort, n_rows: int) -> Results:
    """The results that are there, whole; audited where they never were."""
    assert found.digest is not None
    results = Results(out, found.content, cohort).vouched(found.digest)
    if "audit" not in found.content:
        results = _audited(results, found.digest, cohort, n_rows)
    note = reused_note(out)
    results.provenance["notes"] = [note, *results.provenance.get("notes", [])]
    warnings.warn(note, ReusedWarning, stacklevel=3)
    return results


def _audited(results: Results, digest: FileDigest, cohort: Cohort, n_rows: int) -> Results:
    """The same results with an audit of rows in their record, in memory and beside the file."""
    if n_rows:
        record = results.provenance
        results.provenance = audited(record, results, cohort, record["parameters"]["model"], n_rows)
        assert results.path is not None
        write_record(results.path, results.provenance, digest)
    return results


def over_blocks(
    cohort: Cohort,
    function: Callable[[int, int], Any],
    executor: Executor | None,
    progress: Progress | None,
    label: str,
) -> list[Any]:
    """``function(start, stop)`` of every block of the store on an executor, in store order."""
    check_not_forked()
    plan = Plan.by_block(cohort.store.contig_runs(), cohort.store.block_variants)
    progress = progress or Silent()
    found: dict[int, Any] = {}

    def do(task: Task) -> tuple[Task, Any]:
        return task, [function(start, stop) for start, stop in task.blocks(plan.block_variants)]

    progress.begin(label, plan.n_variants, "variants")
    try:
        for task, values in (executor or Threads()).map(do, plan.tasks):
            found[task.index] = values
            progress.advance(task.n_variants)
    finally:
        progress.end()
    return [value for index in sorted(found) for value in found[index]]


def variant_qc(
    cohort: Cohort,
    *,
    cases: str | None = None,
    case_value: str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Counts, frequencies, missing rate and exact Hardy-Weinberg test of every selected variant.

    With ``cases``, a binary trait, Hardy-Weinberg in its controls too; ``case_value`` is the value of its cases. A PhenotypeError says where it is no such trait.

    Returns
    -------
    DataFrame
        chromosome, base_pair_location, rsid, other_allele, effect_allele, then af, maf, mac, missing_rate, n, n_hom_ref,
        n_het, n_hom_alt, hwe_p, hwe_midp (and hwe_p_controls, hwe_midp_controls), of the cohort's samples.
    """
    return quality(cohort, cases=cases, case_value=case_value, by_sample=False, executor=executor, progress=progress)[0]


def case_notes(cohort: Cohort, cases: str, case_value: str | None = None) -> tuple[str, ...]:
    """Which value of a binary trait is the case, as `variant_qc` reads it."""
    return Controls.of(cohort, cases, case_value).notes


def sample_qc(cohort: Cohort, *, executor: Executor | None = None, progress: Progress | None = None) -> pl.DataFrame:
    """Missing rate and heterozygosity of every sample over the selected variants.

    Returns
    -------
    DataFrame
        sample_id, n_variants (observed), missing_rate, heterozygosity (heterozygous over observed calls).
    """
    return quality(cohort, executor=executor, progress=progress)[1]


def quality(
    cohort: Cohort,
    *,
    cases: str | None = None,
    case_value: str | None = None,
    by_sample: bool = True,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`variant_qc` and `sample_qc` from one pass over the blocks; without ``by_sample`` the second has no rows."""
    check_not_forked()
    check_cohort(cohort, "variant_qc(cohort)")
    check_executor(executor)
    controls = None if cases is None else Controls.of(cohort, cases, case_value)
    if controls is not None and controls.notes:
        warn_of_columns(controls.notes)

    def one(start: int, stop: int) -> tuple[pl.DataFrame, SampleQuality]:
        places = cohort.store.variants(start, stop).select(
            "chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele"
        )
        kept = None if by_sample or controls is not None else stored_statistics(cohort, start, stop)
        if kept is not None:
            chosen = pl.Series(cohort.selected_without_genotypes(start, stop))
            return pl.concat([places, kept], how="horizontal").filter(chosen), SampleQuality.empty(0)
        block = cohort.read(start, stop)
        keep, _ = cohort.select_variants(start, stop, block)
        chosen = pl.Series(keep)
        counted = [places, cohort.variant_statistics(block)]
        if controls is not None:
            counted.append(controls.hardy_weinberg(block))
        table = pl.concat(counted, how="horizontal").filter(chosen)
        samples = SampleQuality.empty(block.n_samples)
        if by_sample:
            samples.add(block if keep.all() else block.take(keep))
        return table, samples

    parts = over_blocks(cohort, one, executor, progress, "counting")
    total = SampleQuality.empty(cohort.block_width)
    for _, samples in parts if by_sample else []:
        total.merge(samples)
    columns = cohort.block_columns
    sample_table = pl.DataFrame(
        {
            "sample_id": pl.Series([str(name) for name in cohort.sample_ids], dtype=pl.String),
            "n_variants": total.n[columns],
            "missing_rate": total.missing_rate[columns],
            "heterozygosity": total.heterozygosity[columns],
        }
    )
    return pl.concat([table for table, _ in parts]), sample_table if by_sample else sample_table.clear()


def selected_variants(cohort: Cohort, start: int, stop: int) -> Int64Array:
    """Numbers of the variants from start to stop that the cohort keeps; reads genotypes only where a filter needs them."""
    if cohort.selection.selects_all:
        return np.arange(start, stop)
    found = [np.zeros(0, np.int64)]
    for first in range(start, stop, cohort.store.block_variants):
        last = min(first + cohort.store.block_variants, stop)
        keep = cohort.selected_without_genotypes(first, last)
        if keep.any() and cohort.selection.on_genotypes:
            keep = cohort.select_variants(first, last, cohort.read(first, last))[0]
        found.append(first + np.flatnonzero(keep))
    return np.concatenate(found)


def to_allel(cohort: Cohort, start: int = 0, stop: int | None = None) -> "allel.GenotypeArray":
    """Calls as scikit-allel's ``GenotypeArray`` (V, N, 2), unphased, -1 not observed.

    Of the variants start to stop of the store those that the cohort keeps, as `keep_variants` has selected. A phase is not
    kept in the store: a heterozygote is 0, 1. A haploid call is the allele and -1.
    """
    import allel

    check_cohort(cohort, "to_allel(cohort)")
    stop = cohort.n_variants if stop is None else stop
    block = cohort.read(start, stop)
    at = selected_variants(cohort, start, stop) - start
    codes = block.codes()[at][:, cohort.block_columns]
    alleles = np.array([[0, 0], [0, 1], [1, 1], [-1, -1]], dtype=np.int8)[codes]
    if block.haploid is not None:
        marks = np.unpackbits(block.haploid[at], axis=1, bitorder="little", count=block.n_samples)
        alleles[marks[:, cohort.block_columns].astype(bool), 1] = -1
    return allel.GenotypeArray(alleles)


def to_dask(cohort: Cohort) -> "dask.array.Array":
    """Copies of ALT as a Dask array (variants, samples) of int8, -1 not observed, a chunk a block. For exploring.

    The variants are those that the cohort keeps; filters on genotypes are counted now, in one pass.
    """
    import dask
    import dask.array as da

    check_cohort(cohort, "to_dask(cohort)")

    def codes(start: int, stop: int, at: Int64Array) -> Any:
        calls = cohort.read(start, stop).codes()[at][:, cohort.block_columns].astype(np.int8)
        calls[calls == 3] = -1
        return calls

    step = cohort.store.block_variants
    pieces = []
    for start in range(0, cohort.n_variants, step):
        stop = min(start + step, cohort.n_variants)
        at = selected_variants(cohort, start, stop) - start
        if at.size:
            piece = dask.delayed(codes, name=f"calls-{cohort.fingerprint}-{start}")(start, stop, at)
            pieces.append(da.from_delayed(piece, shape=(at.size, cohort.n_samples), dtype=np.int8))
    if not pieces:
        return da.zeros((0, cohort.n_samples), dtype=np.int8)
    return da.concatenate(pieces, axis=0)


__all__ = [
    "associate", "association_job", "case_notes", "convert", "describe", "finish_record", "genassoc_version", "input_files", "inputs_of",
    "open_store", "plan_association", "quality", "reused_note", "run_of", "sample_qc", "there_already", "to_allel", "to_dask",
    "trait_notes", "variant_qc",
]  # fmt: skip

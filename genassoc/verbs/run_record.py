"""The record of an association run: its choices, its inputs with fingerprints, its ledgers and notes."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.ploidy import refused_notes
from genassoc.data.cohort.recipe import samples_fingerprint
from genassoc.data.phenotypes.kinship import Kinship
from genassoc.data.phenotypes.offsets import Offsets
from genassoc.data.sidecar import Record, standing
from genassoc.engine.job import missing_notes
from genassoc.errors import CodingWarning, OutputError
from genassoc.models.about import about_of
from genassoc.models.base import AssociationModel
from genassoc.models.linear.model import Linear
from genassoc.models.registry import kind_of
from genassoc.models.scan.genome import ScanState
from genassoc.provenance import NUMBERS, Recorder, genassoc_version


def describe(cohort: Cohort, model: AssociationModel) -> dict[str, Any]:
    """Every choice of a run, defaults included."""
    return {
        "model": {"kind": kind_of(model), **asdict(model)},
        "variants": cohort.selection.describe(),
        **({} if cohort.sets is None else {"sets": asdict(cohort.sets.choices)}),
    }


def input_files(cohort: Cohort) -> list[Path]:
    """Store and tables that a cohort reads."""
    offsets = () if cohort.offsets is None else cohort.offsets.files
    kinship = () if cohort.kinship is None else cohort.kinship.files
    return [Path(cohort.store.path), *cohort.phenotypes.files, *offsets, *kinship]


def inputs_of(cohort: Cohort) -> dict[str, Any]:
    """The inputs of a run with their fingerprints."""
    joined = [
        {"path": step["file"], "fingerprint": step["fingerprint"]}
        for step in cohort.recipe
        if step["step"] == "with_covariates"
    ]
    return {
        "store": {
            "path": str(cohort.store.path),
            "fingerprint": cohort.store.fingerprint,
            "root": getattr(cohort.store, "root", None),  # predictors of a table have none
            "sources": cohort.store.attributes.get("summary", {}).get("sources", []),
        },
        "phenotypes": {"path": cohort.phenotypes.source, "fingerprint": cohort.phenotypes.fingerprint},
        **({"covariate_files": joined} if joined else {}),
        **({} if cohort.offsets is None else {"offsets": _offsets(cohort.offsets)}),
        **({} if cohort.kinship is None else {"kinship": _kinship(cohort.kinship)}),
        **(
            {}
            if cohort.sets is None
            else {"sets": {"digest": cohort.sets.matched.digest, "source": cohort.sets.source}}
        ),
        "cohort": {
            "samples": samples_fingerprint(cohort),
            "steps": list(cohort.recipe),
            "id_rule": str(cohort.id_rule),
        },
    }


def _offsets(offsets: Offsets) -> dict[str, Any]:
    """What offsets are: their content by its digest, which decides whether two runs are the same; files for people."""
    return {
        "digest": offsets.digest,
        "unit": offsets.unit,
        "traits": list(offsets.traits),
        "by_chromosome": offsets.by_chromosome,
        "predictions": {trait: offsets.predictions(trait) for trait in offsets.traits},
        "files": [str(path.absolute()) for path in offsets.files],
    }


def _kinship(kinship: Kinship) -> dict[str, object]:
    """What relationships are: of a given matrix the content, by its digest, and its file for people; else how they are computed."""
    if kinship.scaling is None:
        return {"digest": kinship.digest, "file": kinship.origin}
    return {"digest": kinship.digest, "scaling": kinship.scaling, "maf": kinship.maf, "loco": kinship.loco}


def run_of(fingerprint: str, for_spreadsheets: bool = False) -> dict[str, Any]:
    """The identity of a run: the hash of all that decides the numbers, the versions that compute them, and how ids are written."""
    run = {"fingerprint": fingerprint, "numbers": NUMBERS, "genassoc": genassoc_version()}
    return {**run, "for_spreadsheets": True} if for_spreadsheets else run


def there_already(out: Path, recorder: Recorder, run: Mapping[str, Any]) -> Record | None:
    """The record of the requested results if ``out`` already holds them complete; None if there is no file.

    Parameters
    ----------
    out : Path
    recorder : Recorder
        Of the requested run: to say what differs.
    run : mapping
        Its `run_of`.

    Raises
    ------
    OutputError
        The file holds something else; the message says what differs.
    """
    wanted = {"parameters": recorder.parameters, "inputs": recorder.inputs}
    existing = standing(out, run, wanted)
    if existing is None:
        return None
    if not existing.same:
        raise OutputError(
            f"{out} exists already and is not what this run would write: {existing.why}. Nothing was computed, and the file was not "
            "changed: write to another file, or replace it (--force, restart=True)."
        )
    return existing.record


def reused_note(out: Path) -> str:
    """The note on results that are not computed again."""
    return (
        f"{out} already holds the results of this run (same inputs, choices and version; the digest is correct): they were not "
        "computed again; --force (restart=True) computes them again"
    )


def finish_record(
    recorder: Recorder,
    cohort: Cohort,
    model: AssociationModel,
    state: ScanState,
    variants: dict[str, Any],
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """The provenance of a finished run: its ledgers of samples and variants, and what was dropped by name."""
    dropped = cohort.sample_ledger.filter(pl.col("status") == "dropped")
    reasons = dropped.group_by("reason").len().sort("reason")
    samples = {
        "genotyped": int(cohort.store.n_samples),
        "kept": int((cohort.sample_ledger["status"] == "kept").sum()),
        "dropped": dict(reasons.iter_rows()),
        "lacking_a_covariate": state.n_incomplete,
        "analysed": dict(zip(state.traits, state.n_by_trait)),
    }
    notes = [
        *cohort.notes,
        *state.notes,
        *trait_notes(cohort, model, state),
        *refused_notes(variants.get("refused", {})),
        *missing_notes(variants.get("refused", {})),
    ]
    decided = cohort.contigs.decided
    meant = {"contigs": decided} if decided else {}
    coded = {"codings": {name: dict(coding) for name, coding in state.codings.items()}} if state.codings else {}
    about = about_of(recorder.parameters["model"])
    effect = {"scale": about.scale, "ratio": about.ratio}  # what beta and exp(beta) are called
    return recorder.finish(
        run=dict(run), samples=samples, variants=variants, notes=notes, effect=effect, **meant, **coded
    )


def warn_of_columns(cautions: Sequence[str], notes: Sequence[str] = ()) -> None:
    """Warn of how columns were read, which value is the case, what codes removed (`CodingWarning`); log ``notes``."""
    logger = logging.getLogger("genassoc")
    for note in notes or cautions:
        logger.info(note)
    if cautions:
        warnings.warn("\n  ".join(["how columns were read:", *cautions]), CodingWarning, stacklevel=4)


def trait_notes(cohort: Cohort, model: AssociationModel, state: ScanState) -> list[str]:
    """Notes on odd traits of a linear model: only two values, or too few samples."""
    if not isinstance(model, Linear):
        return []
    notes = []
    for trait in state.traits:
        values = cohort.phenotypes.numbers(trait, cohort.rows)
        values = values[~np.isnan(values)]
        others = values[values != values[0]]
        if others.size and np.all(others == others[0]):
            low, high = sorted((values[0], others[0]))
            notes.append(
                f"{trait} has only two values, {low:g} and {high:g}: if they mean control and case, use a logistic model"
            )
    for null in state.nulls:
        if null.n <= null.Q.shape[1] + 1:
            names = ", ".join(state.traits[trait] for trait in null.traits[:5])
            notes.append(
                f"{names}: {null.n} samples are too few for {null.Q.shape[1]} covariates (the intercept included) and "
                "the genotype: no row has an estimate"
            )
    return notes

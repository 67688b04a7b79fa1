"""Relationships of a cohort's samples for mixed models: given, or computed of the store before the null models are fitted."""

from dataclasses import replace

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.kinship import Each, Given, filled, with_kinship
from genassoc.data.cohort.kinship_order import order_note
from genassoc.data.cohort.predictors import PredictorStore
from genassoc.data.memory import show_memory
from genassoc.engine.executors import Executor, Serial, Threads, single_threaded_blas
from genassoc.engine.resources import granted_memory
from genassoc.errors import InputError, PlanError
from genassoc.models.base import AssociationModel
from genassoc.progress import Progress, Silent

# Arrays of n x n float64 at once: the relationships, a copy that is decomposed, its eigenvectors, and those among the samples.
_COPIES = 4


def related(cohort: Cohort, model: AssociationModel, kinship: Given | None = None) -> Cohort:
    """The cohort with the relationships that a model analyses by: those given, or of the store (not computed yet).

    Raises
    ------
    InputError
        The matrix does not fit, or the model takes none.
    PlanError
        It does not fit into memory.
    """
    ask = getattr(model, "relationships", None)
    if ask is None:
        if kinship is not None:
            raise InputError(
                f"a kinship matrix is for the mixed model (LinearMixed, kind = 'mixed'); {type(model).__name__} would not read it. Leave it "
                "out, or choose that model."
            )
        return cohort if cohort.kinship is None else replace(cohort, kinship=None)
    if kinship is not None:
        _check_loco(model)
        check_memory(cohort, model)
        return _noted(with_kinship(cohort, kinship))
    if cohort.kinship is not None and cohort.kinship.scaling is None:
        _check_loco(model)
        return cohort
    wanted = ask()
    same = cohort.kinship is not None and cohort.kinship.digest == wanted.digest
    return cohort if same else replace(cohort, kinship=wanted)


def _noted(cohort: Cohort) -> Cohort:
    """The cohort with a note where its matrix does not go with its genotypes."""
    kinship = cohort.kinship
    assert kinship is not None and kinship.values is not None
    note = None if isinstance(cohort.store, PredictorStore) else order_note(cohort, kinship.values, kinship.source)
    return cohort if note is None else replace(cohort, notes=(*cohort.notes, note))


def _check_loco(model: AssociationModel) -> None:
    if getattr(model, "loco", False):
        raise InputError(
            "loco=True leaves the tested chromosome out of the relationships, which a matrix of all chromosomes cannot: leave the kinship "
            "matrix out, so that the relationships are computed of the store, or loco=True."
        )


def check_memory(cohort: Cohort, model: AssociationModel) -> None:
    """Refuse, before any work, relationships that do not fit into the memory that this process may use.

    Raises
    ------
    PlanError
    """
    n = cohort.n_samples
    copies = _COPIES + n_patterns(cohort, model) + int(getattr(model, "loco", False))
    needed = 8 * n * n * copies
    grant = granted_memory()
    if grant is not None and needed > grant.n_bytes:
        raise PlanError(
            f"the mixed model holds {copies} arrays of {n:,} x {n:,} samples, {show_memory(needed)} ({needed:,} bytes), and {grant.source} "
            f"allows {show_memory(grant.n_bytes)}: it is meant for cohorts up to about 10,000 samples"
            + (", and each pattern of missing phenotypes has a basis of its own" if copies > _COPIES + 2 else "")
            + ". Analyse fewer samples or traits at a time, or use whole-genome regression (fit_whole_genome), whose memory does not grow with "
            "the square of the samples."
        )


def n_patterns(cohort: Cohort, model: AssociationModel) -> int:
    """Sets of samples that traits are observed in: each has a basis of its own."""
    design = replace(cohort, offsets=None).design(model.traits, model.covariates)
    observed = ~np.isnan(design.y) & design.complete[:, None]
    return len({observed[:, t].tobytes() for t in range(observed.shape[1])})


def computed(cohort: Cohort, model: AssociationModel, executor: Executor | None, progress: Progress | None) -> Cohort:
    """The cohort whose relationships have been computed of the store, where it has no others; no model without relationships has any.

    Raises
    ------
    GenassocError
        No variant is common enough.
    """
    if cohort.kinship is None or cohort.kinship.scaling is None or cohort.kinship.values is not None:
        return cohort
    check_memory(cohort, model)
    shown = progress or Silent()
    shown.begin(f"relationships of {cohort.n_samples:,} samples", cohort.n_variants, "variants")
    try:
        with single_threaded_blas():
            return filled(cohort, each=each_of(executor), tell=shown.advance)
    finally:
        shown.end()


def each_of(executor: Executor | None) -> Each:
    """What does the panels of a matrix: threads of this process, as many as the executor has."""
    workers = executor if isinstance(executor, Serial | Threads) else Threads()
    return workers.map

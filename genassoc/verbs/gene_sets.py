"""The verb `associate_sets`: every set of variants (gene), mask, bin of frequency and trait, by several tests."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.forks import check_not_forked
from genassoc.engine.executors import Executor
from genassoc.models.base import AssociationModel
from genassoc.models.sets.choices import SetChoices
from genassoc.progress import Progress
from genassoc.results import SetResults
from genassoc.verbs.arguments import check_cohort, check_model
from genassoc.verbs.association import associate_to_file, cohort_for
from genassoc.verbs.options import RunOptions
from genassoc.verbs.score_files import check_scores_out, scores_to_file
from genassoc.verbs.set_plans import with_sets

if TYPE_CHECKING:
    from genassoc.data.cohort.offset_tables import Given
    from genassoc.verbs.set_plans import Sets


def associate_sets(
    cohort: Cohort,
    model: AssociationModel,
    sets: "Sets",
    *,
    tests: Sequence[str] | str | None = None,
    weights: str | None = "beta(1,25)",
    max_maf: float | Sequence[float] = (0.001, 0.01),
    singletons: bool = False,
    burden: str = "sum",
    collapse_below: int = 10,
    calibrated: bool = True,
    leave_one_out: bool = False,
    offsets: "Given | None" = None,
    out: str | Path | None = None,
    scores_out: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    restart: bool = False,
    memory: str | int | None = None,
    for_spreadsheets: bool = False,
    relatedness: bool = True,
) -> SetResults:
    """Test sets of rare variants, such as genes, against every trait of a model.

    Parameters
    ----------
    cohort : Cohort
        Its selection of variants holds for those of sets too.
    model : Linear, Logistic, ...
        Of single variants; sets stand on its null models. ``condition_on`` puts variants among the covariates; of an
        ``interaction`` the burden alone is tested (rows "burden", "burden:E", "burden:joint_2df", ...).
    sets : VariantSets, MatchedSets, path or DataFrame
        As `read_sets` gives or takes them.
    tests, weights, max_maf, singletons, burden, collapse_below, calibrated, leave_one_out
        What is tested; see `genassoc.models.sets.choices.SetChoices`.
    scores_out : path, optional
        Score statistics and covariances of every set (.parquet), for `genassoc.meta_sets`: nothing of a single sample, but the score of a
        variant with one carrier is that person's residual.
    offsets, out, executor, progress, restart, memory, for_spreadsheets, relatedness : optional
        As of `genassoc.associate`. A set is never cut: ``memory`` that the largest does not fit is refused.

    Returns
    -------
    SetResults
        One row for each set x mask x bin x trait x test, in the order of the sets along the genome.

    Raises
    ------
    PlanError, PhenotypeError, OutputError, GenassocError
        As `genassoc.associate`; or sets, choices and model do not go together.
    ValueError
        A choice has a value that is not allowed.
    """
    check_not_forked()
    check_cohort(cohort, "associate_sets(cohort, model, sets)")
    check_model(model)
    options = RunOptions(executor=executor, progress=progress, restart=restart, memory=memory, relatedness=relatedness)
    choices = SetChoices(
        tests=tests, weights=weights, max_maf=max_maf, singletons=singletons, burden=burden,  # type: ignore[arg-type]
        collapse_below=collapse_below, calibrated=calibrated, leave_one_out=leave_one_out,
    )  # fmt: skip
    cohort = with_sets(cohort_for(cohort, model, offsets), model, sets, choices)
    if scores_out is not None:
        check_scores_out(Path(scores_out), None if out is None else Path(out), cohort)
    if out is not None:
        results = associate_to_file(cohort, model, Path(out), options, for_spreadsheets=for_spreadsheets)
    else:
        folder = tempfile.TemporaryDirectory(prefix="genassoc-")
        results = associate_to_file(cohort, model, Path(folder.name) / "results.parquet", options)
        results.folder = folder
    if scores_out is not None:
        scores_to_file(cohort, model, Path(scores_out), options)
    assert isinstance(results, SetResults)
    return results

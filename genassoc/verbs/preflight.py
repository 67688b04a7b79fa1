"""Checks of a gwas.toml before a run: all its problems at once, and the cost of the run."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contig_nulls import n_nulls
from genassoc.data.cohort.variant_lists import read_variants
from genassoc.data.memory import resident_memory
from genassoc.data.phenotypes.codings import sex_coding
from genassoc.data.phenotypes.design import Kind, build_design
from genassoc.data.phenotypes.emptied import category_labels, check_columns
from genassoc.data.phenotypes.formula_parser import parse_formula
from genassoc.data.phenotypes.modifier import read_modifier
from genassoc.data.phenotypes.outcomes import exposure_values
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.survival import competing_lines
from genassoc.data.phenotypes.weights import read_weights
from genassoc.engine.budget import check_before_fitting
from genassoc.engine.executors import Threads
from genassoc.errors import GenassocError
from genassoc.models.base import AssociationModel
from genassoc.models.choices import checks
from genassoc.models.registry import MODELS
from genassoc.shapes import Int64Array
from genassoc.verbs import association, estimate, from_config, run_record, runs, stores
from genassoc.verbs.config import Config, problems_of, read_tables
from genassoc.verbs.options import RunOptions
from genassoc.verbs.relatedness import structure_of

Found = TypeVar("Found")


@dataclass
class Preflight:
    """The result of a check.

    Attributes
    ----------
    problems : list of str
        What stops the run; empty when it can go.
    lines : list of str
        What would be done, and what it will cost.
    """

    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[[], Found]) -> Found | None:
        """The result of a step; if it fails, None and one more problem. The same problem is reported once."""
        try:
            return step()
        except GenassocError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return None


def check(path: str | Path, n_threads: int = 1, memory: str | int | None = None, relatedness: bool = True) -> Preflight:
    """Check a gwas.toml before the run: report all problems at once, and the cost.

    Raises
    ------
    InputError
        The file is absent or is not TOML.
    """
    path, program = Path(path), resident_memory()
    content = read_tables(path)
    config = Config.sound(content, path.parent)
    result = Preflight([*problems_of(content), *from_config.model_problems(config.model)])
    model = None if result.problems else result.attempt(lambda: from_config.make_model(config))
    if {"store", "phenotypes"} <= set(config.input) and "path" in config.output:
        result.attempt(lambda: from_config.check_files(config))
    began = time.perf_counter()
    cohort = _cohort(config, result)
    aligned = time.perf_counter() - began
    phenotypes = None if cohort is None else cohort.phenotypes
    if phenotypes is None and "phenotypes" in config.input:
        phenotypes = _phenotypes(config, result)
    if phenotypes is not None:
        rows = np.arange(phenotypes.table.height) if cohort is None else cohort.rows
        _check_columns(config, phenotypes, rows, result)
    if cohort is not None:
        if model is not None and not result.problems:
            cohort = result.attempt(partial(from_config.with_offsets_of, config, cohort, model)) or cohort
            cohort = result.attempt(partial(from_config.related_of, config, cohort, model)) or cohort
            cohort = result.attempt(partial(from_config.with_sets_of, config, cohort, model)) or cohort
        result.lines += cohort.summary_lines()
        result.attempt(partial(_check_some_variant, cohort))
        if model is not None and not result.problems and config.step1:
            result.attempt(partial(_check_step1, config, cohort, model))
        if model is not None and not result.problems:
            _rehearse(config, cohort, model, n_threads, memory, (aligned, program), result)
            if relatedness and not result.problems:
                options = RunOptions(executor=Threads(n_threads))
                structure = result.attempt(partial(structure_of, cohort, model, options))
                result.lines += structure.lines if structure is not None else ()
    return result


def _phenotypes(config: Config, result: Preflight) -> Phenotypes | None:
    """The table of phenotypes. Wrong ids are a problem, and its columns are checked nevertheless."""
    table = result.attempt(lambda: from_config.joined_tables(config))
    if table is not None:
        return table
    read = [
        result.attempt(partial(Phenotypes.of_rows, path, **config.reading()))
        for path in (config.phenotypes, *config.covariate_files)
    ]
    tables = [one for one in read if one is not None]
    return tables[0].beside(tables[1:]) if read[0] is not None else None


def _cohort(config: Config, result: Preflight) -> Cohort | None:
    """The cohort with every selection that works; None if the samples cannot be matched."""
    cohort = None
    if "store" in config.input and config.is_vcf:
        if not config.store.exists():
            result.problems.append(f"{config.store} does not exist")
        result.lines.append(f"{config.store.name} will be converted first; its samples are checked then")
    elif "store" in config.input:
        store = result.attempt(lambda: stores.open_store(config.store))
        if store is not None and "phenotypes" in config.input:
            n_problems, sex = len(result.problems), config.input.get("sex")
            cohort = result.attempt(lambda: from_config.align(config, store, sex))
            if cohort is None and sex is not None:
                cohort = result.attempt(lambda: from_config.align(config, store, None))
                del result.problems[n_problems + 1 :]  # the same again
    if cohort is not None and config.input.get("keep_samples"):
        wanted = list(config.input["keep_samples"])
        cohort = result.attempt(partial(cohort.keep_samples, wanted)) or cohort
    if cohort is not None and config.variant_list is not None:
        listed = result.attempt(partial(read_variants, config.variant_list, cohort.store))
        if listed is not None:
            cohort = result.attempt(partial(cohort.keep_variants, listed)) or cohort
    for make in config.conditions():
        predicate = result.attempt(make)
        if predicate is not None and cohort is not None:
            cohort = result.attempt(partial(cohort.keep_variants, predicate)) or cohort
    return cohort


def _check_columns(config: Config, phenotypes: Phenotypes, rows: Int64Array, result: Preflight) -> None:
    """Every trait and every covariate by itself, so that none hides another; then all together."""
    kind: Kind | Literal["survival"] = getattr(MODELS.get(str(config.model.get("kind"))), "outcome", "quantitative")
    n_before = len(result.problems)
    try:
        traits = checks.names(config.model.get("traits", ()), "traits")
        covariates = checks.names_or_formula(config.model.get("covariates", ()), "covariates")
    except ValueError:
        return  # reported already, among the model's problems
    phenotypes = replace(phenotypes, case_values=_case_values(config, traits))
    result.attempt(partial(check_columns, phenotypes))
    exposure = config.model.get("exposure")
    named = config.model.get("levels")  # if it is no list, that is reported among the model's problems
    levels = tuple(str(level) for level in named) if isinstance(named, list | tuple) and named else None
    if kind != "survival":
        for trait in traits:
            result.attempt(partial(build_design, phenotypes, rows, [trait], (), kind, levels))
    if isinstance(exposure, str):
        result.attempt(partial(exposure_values, phenotypes, exposure, rows))
    if isinstance(config.model.get("weights"), str):
        result.attempt(partial(read_weights, phenotypes, rows, config.model["weights"]))
    cause = config.model.get("cause")
    looks: dict[str, tuple[str, Callable[[str], Any]]] = {
        "matched": ("matched set", lambda name: category_labels(phenotypes, name, rows)),
        "strata": ("stratum", lambda name: category_labels(phenotypes, name, rows)),
        "entry": ("entry time", lambda name: phenotypes.numbers(name, rows)),
        "time": ("time", lambda name: phenotypes.numbers(name, rows)),
        "baseline": ("baseline", lambda name: phenotypes.numbers(name, rows)),
        "event": ("event", lambda name: competing_lines(phenotypes, rows, name, None if cause is None else str(cause))),
    }
    roles: dict[str, str] = {}
    for choice, (role, look) in looks.items():
        for name in _names(config.model.get(choice)):
            for column in result.attempt(partial(phenotypes.resolve, [name], role)) or ():
                if roles.setdefault(column, choice) == choice:
                    result.attempt(partial(look, column))
                else:
                    result.problems.append(
                        f"{phenotypes.source}: '{column}' is asked for as {_a(looks[roles[column]][0])} and as {_a(role)}"
                    )
    if isinstance(config.model.get("interaction"), str):
        everybody = np.ones(rows.size, dtype=bool)
        result.attempt(partial(read_modifier, phenotypes, rows, config.model["interaction"], everybody))
    if isinstance(config.input.get("sex"), str):
        result.attempt(partial(sex_coding, phenotypes, config.input["sex"], rows))
    names = covariates
    if isinstance(names, str):
        formula = result.attempt(partial(parse_formula, names, phenotypes.table.columns)) if names.strip() else None
        names = formula.columns if formula is not None else ()
    for name in names:
        result.attempt(partial(build_design, phenotypes, rows, (), [name]))
    if len(result.problems) > n_before:
        return
    if kind == "survival":
        if not from_config.model_problems(config.model):
            survival: Any = from_config.make_model(config)  # such a model reads its own columns
            result.attempt(partial(survival.design, phenotypes, rows))
        return
    result.attempt(partial(build_design, phenotypes, rows, traits, covariates, kind, levels))


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeio' else 'a'} {role}"


def _names(value: object) -> tuple[str, ...]:
    """Names in a choice; empty if it holds no names, which `model_problems` reports."""
    try:
        return () if value is None else checks.names(value, "names")
    except ValueError:
        return ()


def _case_values(config: Config, traits: tuple[str, ...]) -> dict[str, str]:
    """``case_value`` of the model; empty where it is no such thing, which is told among the model's problems."""
    try:
        return dict(
            checks.pairs(config.model.get("case_value"), "case_value", traits or _names(config.model.get("event")))
        )
    except ValueError:
        return {}


def _check_some_variant(cohort: Cohort) -> None:
    """Refuse a selection that leaves nothing even before genotypes are looked at."""
    step = cohort.store.block_variants
    starts = range(0, cohort.n_variants, step)
    if not any(cohort.selected_without_genotypes(at, min(at + step, cohort.n_variants)).any() for at in starts):
        raise GenassocError(f"no variant is left to test: {'; '.join(cohort.selection.describe())}")


def _check_step1(config: Config, cohort: Cohort, model: AssociationModel) -> None:
    """Refuse a ``[step1]`` that `genassoc step1` would refuse before it reads genotypes."""
    from genassoc.verbs import step1

    step1.regression_of(config, model)
    step1.check_inputs(config, cohort, model)
    _check_some_variant(step1.step1_cohort(config, cohort))


def _rehearse(
    config: Config,
    cohort: Cohort,
    model: AssociationModel,
    n_threads: int,
    memory: str | int | None,
    before: tuple[float, int],
    result: Preflight,
) -> None:
    """Fit the null models, as the run will, compute one block, and say what all will cost.

    ``before``: the seconds that aligning took, and the bytes that the process held in front of it.
    """
    plan = association.plan_association(cohort, model)
    result.attempt(lambda: check_before_fitting(cohort, model, memory))
    aligned, program = before
    began = time.perf_counter()
    job = result.attempt(lambda: association.association_job(cohort, model, plan))
    fitted = time.perf_counter() - began
    if job is None:
        return
    nulls = n_nulls(cohort)
    if cohort.kinship is not None and nulls > 1:
        result.lines.append(
            f"relationships: {nulls} decompositions of {cohort.n_samples:,} samples, one a chromosome, about {fitted:.1f} s each"
        )
    design = cohort.design((), model.covariates)
    result.lines += [*job.state.notes, *run_record.trait_notes(cohort, model, job.state)]
    result.lines.append(f"{int(design.complete.sum()):,} samples have all covariates ({', '.join(design.covariates)})")
    cost = result.attempt(
        lambda: estimate.estimate(
            cohort, model, job, plan, n_threads, memory, aligned=aligned, fitted=fitted, program=program
        )
    )
    stands = result.attempt(partial(runs.stands, config, cohort, model)) if "path" in config.output else None
    result.lines += stands or []
    if cost is not None:
        result.lines += cost.lines()
        result.attempt(partial(cost.check_space, config.out.parent))

"""Model, store, tables and cohort made from a gwas.toml."""

import contextlib
import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.matching import family_column
from genassoc.data.cohort.offset_tables import with_offsets
from genassoc.data.cohort.variant_lists import read_variants
from genassoc.data.output import check_outputs, check_writable
from genassoc.data.phenotypes.columns import read_columns
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.reading import Reading
from genassoc.data.result_table import table_suffix
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError, OutputError, PhenotypeError
from genassoc.models.base import AssociationModel
from genassoc.models.registry import MODELS, choices_of
from genassoc.progress import Progress
from genassoc.verbs.config import VCF_SUFFIXES, Config
from genassoc.verbs.relationships import related
from genassoc.verbs.stores import convert, open_store


def make_model(config: Config) -> AssociationModel:
    """The model of ``[model]``.

    Raises
    ------
    InputError
        The kind is unknown, or the model has no such choice (shows those it has).
    """
    problems = model_problems(config.model)
    if len(problems) == 1:
        raise InputError(f"{problems[0]}.")
    if problems:
        raise InputError("the model cannot be made:\n" + "\n".join(f"  - {problem}" for problem in problems))
    choices = dict(config.model)
    try:
        return MODELS[choices.pop("kind")](**choices)
    except (TypeError, ValueError) as error:
        raise InputError(f"[model] {error}.") from error


def model_problems(choices: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with ``[model]``, a choice a line; absent keys are `genassoc.verbs.config`'s."""
    kind = choices.get("kind")
    if kind is None:
        return []
    if not isinstance(kind, str) or kind not in MODELS:
        return [f"[model] kind = {kind!r}: there is no such model; there are {', '.join(MODELS)}"]
    known = choices_of(kind)
    with contextlib.suppress(TypeError, ValueError):
        MODELS[kind](**{name: value for name, value in choices.items() if name != "kind"})
        return []  # some choices are valid only together with another; below each is checked alone
    problems = [f"[model] {kind} needs '{name}'" for name in MODELS[kind].needs if name not in choices]
    for name, value in choices.items():
        if name == "kind":
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" (is '{close[0]}' meant?)" if close else ""
            problems.append(f"[model] {kind} has no choice '{name}'{meant}; it has {', '.join(known)}")
            continue
        base = dict.fromkeys(MODELS[kind].needs, ("any",))
        if name == "case_value":  # it names columns that other choices name
            base |= {other: choices[other] for other in (*MODELS[kind].needs, "interaction") if other in choices}
        try:
            MODELS[kind](**{**base, name: value})
        except (TypeError, ValueError) as error:
            problems.append(f"[model] {error}")
    return problems


def make_store(
    config: Config, *, threads: int | None = None, progress: Progress | None = None, overwrite: bool = False
) -> GenotypeStore:
    """Open ``[input] store``; a VCF is converted first, into ``<name>.zarr`` beside the results.

    ``overwrite`` replaces the store that an earlier run made of another VCF, or of this one before it was edited.
    """
    if not config.is_vcf:
        return open_store(config.store)
    return convert(config.store, converted(config), threads=threads, progress=progress, overwrite=overwrite)


def converted(config: Config) -> Path:
    """The store that the VCF of a configuration is converted to."""
    name = config.store.name
    stem = name[: name.rindex(".vcf")] if ".vcf" in name else name.removesuffix(".bcf")
    return config.out.parent / f"{stem}.zarr"


def make_cohort(config: Config, store: GenotypeStore, model: AssociationModel | None = None) -> Cohort:
    """Align ``[input] phenotypes`` with the store and apply ``[variants]``; with the ``[offsets]`` of a model's traits and its relationships."""
    cohort = align(config, store, config.input.get("sex"))
    if config.input.get("keep_samples"):
        cohort = cohort.keep_samples(list(config.input["keep_samples"]))
    if config.variant_list is not None:
        cohort = cohort.keep_variants(read_variants(config.variant_list, cohort.store))
    for predicate in config.predicates():
        cohort = cohort.keep_variants(predicate)
    if model is None:
        return cohort
    return with_sets_of(config, related_of(config, with_offsets_of(config, cohort, model), model), model)


def with_offsets_of(config: Config, cohort: Cohort, model: AssociationModel) -> Cohort:
    """The cohort with the ``[offsets]`` of a model's traits, where there are any."""
    if config.offset_path is None:
        return cohort
    return with_offsets(
        cohort, config.offset_path, model.traits, model.outcome, getattr(model, "rank_normalise", False)
    )


def related_of(config: Config, cohort: Cohort, model: AssociationModel) -> Cohort:
    """The cohort with the relationships that a model analyses by: those of ``[kinship]``, or of the store."""
    return related(cohort, model, config.kinship_path)


def with_sets_of(config: Config, cohort: Cohort, model: AssociationModel) -> Cohort:
    """The cohort with the ``[sets]``, where there are any.

    Raises
    ------
    InputError
        A choice has a value that is not allowed; or as `genassoc.verbs.set_plans.with_sets`.
    """
    if not config.sets:
        return cohort
    from genassoc.models.sets.choices import SetChoices
    from genassoc.verbs.set_plans import with_sets
    from genassoc.verbs.sets import sets_for

    files = config.set_files
    given = {
        name: value for name, value in config.sets.items() if name not in ("path", "annotations", "masks", "scores_out")
    }
    try:
        choices = SetChoices(**given)
    except ValueError as error:
        raise InputError(f"[sets] {error}.") from error
    masks = files.get("masks", config.sets.get("masks"))
    return with_sets(cohort, model, sets_for(cohort, files["path"], files.get("annotations"), masks), choices)


def cohort_of(path: str | Path) -> Cohort:
    """The cohort of the gwas.toml at ``path``."""
    config = Config.read(path)
    return make_cohort(config, make_store(config), make_model(config))


def align(config: Config, store: GenotypeStore, sex: str | None) -> Cohort:
    """The cohort of the samples in both files, before any selection, with the columns of ``covariate_files``."""
    phenotypes = read_table(config, config.phenotypes)
    elsewhere = bool(config.covariate_files) and sex is not None and sex not in phenotypes.columns
    cohort = Cohort.align(
        store,
        phenotypes,
        sex=None if elsewhere else sex,
        min_overlap=float(config.input.get("min_overlap", 0.5)),
        build=config.input.get("build"),
        id_rule=config.input.get("id_rule"),
    )
    for path in config.covariate_files:
        cohort = cohort.with_covariates(read_table(config, path))
    return cohort.with_sex(sex) if elsewhere and sex is not None else cohort


def read_table(config: Config, path: Path) -> Phenotypes:
    """A table of the input. Its ids are in the column ``sample_id``, or in one with a usual name if a covariate file lacks that."""
    named, reading = config.input.get("sample_id"), config.reading()
    try:
        return Phenotypes.read(path, sample_id=named, **reading)
    except PhenotypeError:
        if (
            named is None
            or path == config.phenotypes
            or named in read_columns(path, Reading.of(encoding=reading.get("encoding"))).columns.columns
        ):
            raise
        return Phenotypes.read(path, **reading)


def joined_tables(config: Config) -> Phenotypes:
    """Phenotypes with the columns of ``covariate_files``, whose ids are compared as they are: for checks without a store."""
    table = read_table(config, config.phenotypes)
    for path in config.covariate_files:
        added = read_table(config, path)
        family = family_column(added.columns)
        if family is not None and family in table.columns:
            added = replace(added, table=added.table.drop(family))
        table = table.with_columns(added)
    return table


def check_files(config: Config) -> None:
    """Refuse outputs that cannot be written, or would take the place of an input."""
    outputs = [config.out] if config.dialect is None else [config.out, config.dialect_out]
    outputs += [] if config.policy is None else [config.leaving_out]
    table_suffix(config.out)
    check_outputs(outputs, [config.store, *config.tables])
    for out in outputs:
        check_writable(out)
        if out.exists() and out.name.endswith(VCF_SUFFIXES):
            raise OutputError(
                f"{out} is a VCF, perhaps what the store was made of; choose another name for the output."
            )

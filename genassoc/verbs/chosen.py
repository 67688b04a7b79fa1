"""Samples and variants of a store that files name: what the commands without phenotypes work on."""

from pathlib import Path

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.variant_lists import read_variants
from genassoc.verbs.exports import known_samples, listed_ids
from genassoc.verbs.stores import open_store, whole_store


def chosen_of_store(store: str | Path, *, variants: Path | None = None, keep: Path | None = None) -> Cohort:
    """The samples of a store as a cohort, or those whose ids a file has, one a line; and its variants, or those of a list.

    Raises
    ------
    InputError
        A file cannot be read; names no variant of the store, or a sample that it has not.
    """
    cohort = whole_store(open_store(store))
    if keep is not None:
        cohort = cohort.keep_samples(known_samples(cohort, *listed_ids(keep, "samples")))
    return cohort if variants is None else cohort.keep_variants(read_variants(variants, cohort.store))

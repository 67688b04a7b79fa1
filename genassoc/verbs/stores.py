"""Genotype stores: made of VCF, opened, and taken as a whole."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.matching import first_few
from genassoc.data.cohort.variant_lists import read_variants
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError
from genassoc.progress import Progress
from genassoc.verbs.arguments import kind_of


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
    **reading: object,
) -> GenotypeStore:
    """Convert files of genotypes to a genotype store, once; a rerun resumes or finds it done.

    See `genassoc.formats.convert.convert` for the parameters and errors, and `genassoc.formats.reading.Reading` for ``reading``:
    ``dosage``, ``pass_only``, ``info``, ``min_gq``, ... What was read, split and dropped is in
    ``store.attributes["summary"]``.
    """
    from genassoc.formats.convert import convert as convert_files
    from genassoc.formats.reading import Reading

    convert_files(
        inputs,
        out,
        region=region,
        samples=samples,
        threads=threads,
        progress=progress,
        overwrite=overwrite,
        memory=memory,
        reading=Reading.of(reading),
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


def whole_store(store: GenotypeStore) -> Cohort:
    """All samples of a store as a cohort, without phenotypes."""
    names = [str(name) for name in store.sample_ids]
    return Cohort.align(store, pl.DataFrame({"IID": pl.Series(names, dtype=pl.String)}), sample_id="IID")


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


def listed_ids(given: Sequence[str] | Path | str, what: str) -> tuple[list[str], str]:
    """Ids of a list, or of a file with one at the start of each line; and where they are from, for messages."""
    if not isinstance(given, str | Path):
        wanted, origin = [str(name) for name in given], ""
    else:
        path = Path(given)
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: the list of {what} cannot be read: {error}") from error
        wanted = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
        origin = f"{path}: "
    if not wanted:
        raise InputError(f"{origin}no ids of {what} to keep")
    return list(dict.fromkeys(wanted)), origin


def known_samples(cohort: Cohort, wanted: list[str], origin: str) -> list[str]:
    """Ids of which all are those of the cohort's samples; ``origin`` is where they are from, for the message.

    Raises
    ------
    InputError
        Some are not.
    """
    known = {str(name) for name in cohort.sample_ids}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise InputError(
            f"{origin}{len(unknown)} of {len(wanted)} sample ids are not among those of the store: {first_few(unknown)}; there, "
            f"ids look like {first_few(cohort.sample_ids)}"
        )
    return wanted

"""Genotype stores: made of VCF, opened, and taken as a whole."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.store.store import GenotypeStore
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

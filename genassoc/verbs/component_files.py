"""Principal components on a disk: a folder of two tables and what is to be known of them.

::

    cohort.pca/
      components.json      eigenvalues, shrinkage, choices, notes; size and digest of the tables
      loadings.parquet     a row a variant: place, alleles, frequency and call rate in the fit, PC1, ...
      scores.parquet       a row a sample: sample_id, fitted, PC1, ...

Whose folder it is does not matter: every field, length and number is checked, and nothing is evaluated.
"""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data import strangers
from genassoc.data.integrity import FileDigest
from genassoc.data.output import check_outputs, check_writable, output_error, sync_folder, target_of, wip_path
from genassoc.data.result_table import table_suffix, write_table
from genassoc.data.strangers import MalformedError
from genassoc.engine.executors import Executor
from genassoc.engine.parts import WorkFolder
from genassoc.errors import InputError, OutputError
from genassoc.progress import Progress
from genassoc.provenance import genassoc_version
from genassoc.shapes import Float64Array
from genassoc.verbs.components import EXACT, RANDOMISED, PrincipalComponents, component_names, pca
from genassoc.verbs.projection import ProjectedScores
from genassoc.verbs.stores import chosen_of_store, known_samples, listed_ids

_FORMAT, _VERSION = "genassoc-components", 1
_RECORD, _LOADINGS, _SCORES = "components.json", "loadings.parquet", "scores.parquet"
_MOST_COMPONENTS = 10_000
_MOST_ROWS = 2**31
# Numbers of loadings and scores hardly compress: a file that claims to hold more than so many times its bytes is made to fill memory.
_MOST_EXPANSION = 200
_PLACES = {
    "chromosome": pl.String, "base_pair_location": pl.Int64, "rsid": pl.String, "other_allele": pl.String,
    "effect_allele": pl.String, "effect_allele_frequency": pl.Float64, "call_rate": pl.Float64,
}  # fmt: skip


def write_components(found: PrincipalComponents, path: Path, *, overwrite: bool = False) -> Path:
    """Write a folder, whole or not at all.

    Raises
    ------
    OutputError
        Something is there already that is not to be replaced, or is no such folder; or it cannot be written.
    """
    target = _check_folder(path, overwrite=overwrite)
    wip = wip_path(target)
    try:
        wip.mkdir()
        fitted = pl.Series("fitted", found.fitted)
        tables = {
            _LOADINGS: found.loadings.cast({"base_pair_location": pl.Int64}),
            _SCORES: found.scores.select("sample_id", fitted, *found.names),
        }
        digests = {}
        for name, table in tables.items():
            with (wip / name).open("xb") as file:
                table.write_parquet(file, compression="zstd", statistics=False)
                file.flush()
                os.fsync(file.fileno())
            digest = FileDigest.of(wip / name)
            digests[name] = {"bytes": digest.n_bytes, "sha256": digest.sha256, "rows": table.height}
        content = {
            "format": _FORMAT, "version": _VERSION, "genassoc": genassoc_version(), "k": found.k, "files": digests,
            "eigenvalues": found.eigenvalues.tolist(), "total_variance": found.total_variance,
            "shrinkage": found.shrinkage.tolist(), "angles": found.angles.tolist(), "above_noise": found.above_noise,
            "method": found.method, "passes": found.passes, "seed": found.seed, "notes": list(found.notes),
            "record": found.record,
        }  # fmt: skip
        with (wip / _RECORD).open("x") as text:
            text.write(json.dumps(content, indent=1, allow_nan=False))
            text.flush()
            os.fsync(text.fileno())
        if target.exists():
            old = wip_path(target)
            target.rename(old)
            wip.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            wip.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise output_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(wip)
    return path


def _check_folder(path: Path, *, overwrite: bool) -> Path:
    """Where the folder is written to; refused where something else is there."""
    target = target_of(path)
    if target.exists():
        if not overwrite:
            raise OutputError(f"{path} is there already: choose another name, or replace it (overwrite=True, --force).")
        if not (target / _RECORD).is_file():
            raise OutputError(f"{path} is there already and holds no principal components; it is left as it is.")
    elif not target.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {target.parent} to write it to.")
    return target


def read_components(path: Path) -> PrincipalComponents:
    """Read what `write_components` wrote.

    Raises
    ------
    InputError
        Names the file, and what is wrong.
    """
    with _named(path / _RECORD):
        content = strangers.read_object(path / _RECORD)
        if content.get("format") != _FORMAT:
            raise MalformedError(f"its format is not '{_FORMAT}'")
        if (version := strangers.field(content, "version", strangers.whole)) != _VERSION:
            raise MalformedError(f"it has version {version}; this genassoc reads version {_VERSION}")
        k = strangers.field(content, "k", strangers.whole, 1, _MOST_COMPONENTS)
        values = {name: _numbers(content, name, k) for name in ("eigenvalues", "shrinkage", "angles")}
        total = _number(content.get("total_variance"), "total_variance")
        _check_numbers(values, total)
        above = strangers.field(content, "above_noise", strangers.whole, 0, k)
        method = strangers.field(content, "method", strangers.text)
        if method not in (EXACT, RANDOMISED):
            raise MalformedError(f"its method is neither '{EXACT}' nor '{RANDOMISED}'")
        passes, seed = (strangers.field(content, name, strangers.whole) for name in ("passes", "seed"))
        notes = tuple(strangers.field(content, "notes", strangers.texts))
        record = strangers.field(content, "record", strangers.table)
        files = strangers.field(content, "files", strangers.table)
    names: dict[str, Any] = dict.fromkeys(component_names(k), pl.Float64)
    loadings = _table(path / _LOADINGS, files, {**_PLACES, **names})
    scores = _table(path / _SCORES, files, {"sample_id": pl.String, "fitted": pl.Boolean, **names})
    with _named(path / _LOADINGS):
        _check_loadings(loadings)
    with _named(path / _SCORES):
        if (
            scores["fitted"].null_count()
            or scores["sample_id"].null_count()
            or scores["sample_id"].is_duplicated().any()
        ):
            raise MalformedError("a sample has no name, is there twice, or is neither fitted nor projected")
    return PrincipalComponents(
        scores=scores.drop("fitted"),
        fitted=scores["fitted"].to_numpy(),
        loadings=loadings,
        total_variance=total,
        above_noise=above,
        method=method,
        passes=passes,
        seed=seed,
        notes=notes,
        record=record,
        **values,
    )


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of reading a file as one that names it."""
    again = "genassoc pca --save, or PrincipalComponents.write, writes such a folder"
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there: {again}.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (MalformedError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} holds no principal components as genassoc writes them: {error}; {again}.") from error


def _table(path: Path, files: dict[str, Any], schema: dict[str, Any]) -> pl.DataFrame:
    with _named(path):
        stated = strangers.field(files, path.name, strangers.table)
        n_bytes = strangers.field(stated, "bytes", strangers.whole)
        rows = strangers.field(stated, "rows", strangers.whole, 1, _MOST_ROWS)
        if not path.is_file():
            raise FileNotFoundError(path)
        if path.stat().st_size != n_bytes:
            raise MalformedError(f"it has {path.stat().st_size:,} bytes, and {_RECORD} says {n_bytes:,}")
        if rows * len(schema) * 8 > _MOST_EXPANSION * max(n_bytes, 4096):
            raise MalformedError(f"{rows:,} rows cannot be held by {n_bytes:,} bytes")
        if FileDigest.of(path).sha256 != strangers.field(stated, "sha256", strangers.text):
            raise MalformedError("it was changed after it was written: its digest is another")
        lazy = pl.scan_parquet(path, glob=False)
        if dict(lazy.collect_schema()) != schema:
            raise MalformedError("its columns, or their types, are others")
        found = int(lazy.select(pl.len()).collect().item())
        if found != rows:
            raise MalformedError(f"it has {found:,} rows, and {_RECORD} says {rows:,}")
        return lazy.collect()


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise MalformedError(f"{name} is no number")
    return float(value)


def _numbers(content: dict[str, Any], name: str, k: int) -> Float64Array:
    values = strangers.field(content, name, strangers.items)
    if len(values) != k:
        raise MalformedError(f"{name} has {len(values)} numbers, not {k}")
    return np.array([_number(value, name) for value in values])


def _check_numbers(values: dict[str, Float64Array], total: float) -> None:
    eigenvalues, shrinkage = values["eigenvalues"], values["shrinkage"]
    if (eigenvalues <= 0.0).any() or (np.diff(eigenvalues) > 0.0).any() or total <= 0.0:
        raise MalformedError("eigenvalues are not positive, or not descending")
    if (shrinkage <= 0.0).any() or (shrinkage > 1.0).any():
        raise MalformedError("shrinkage is above 0 and at most 1")


def _check_loadings(table: pl.DataFrame) -> None:
    frequency, rate = table["effect_allele_frequency"], table["call_rate"]
    texts = table.select("chromosome", "base_pair_location", "other_allele", "effect_allele")
    if texts.null_count().sum_horizontal().item():
        raise MalformedError("a variant has no place or no alleles")
    for name in table.columns[len(_PLACES) - 2 :]:
        if table[name].null_count() or not table[name].is_finite().all():
            raise MalformedError(f"{name} of a variant is no number")
    if not ((frequency > 0.0) & (frequency < 1.0)).all() or not ((rate > 0.0) & (rate <= 1.0)).all():
        raise MalformedError("a frequency is not between 0 and 1")


def components_of_store(
    store: Path,
    out: Path,
    *,
    variants: Path | None = None,
    keep: Path | None = None,
    fit_on: Path | None = None,
    save: Path | None = None,
    plot: Path | None = None,
    restart: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
    **choices: Any,
) -> PrincipalComponents:
    """`pca` of a store's samples, or those of a list, into a table of scores; a killed run is taken up from ``<out>.work``.

    ``fit_on`` is a file with the ids of the samples of the fit, ``save`` the folder for loadings, ``plot`` a picture of PC1 and PC2.
    """
    inputs = [path for path in (store, variants, keep, fit_on) if path is not None]
    _check_targets(out, save, plot, inputs, restart)
    cohort = chosen_of_store(store, variants=variants, keep=keep)
    fitted = None if fit_on is None else known_samples(cohort, *listed_ids(fit_on, "samples"))
    work = WorkFolder.beside(out)
    if restart:
        work.remove()
    found = pca(cohort, fit_on=fitted, work=work.path, executor=executor, progress=progress, **choices)
    if save is not None:
        write_components(found, save, overwrite=restart)
    if plot is not None:
        _draw(found, plot)
    write_table(out, [found.scores])  # last: where it is, all is
    return found


def projected_of_store(
    store: Path,
    out: Path,
    components: Path,
    *,
    keep: Path | None = None,
    min_overlap: float = 0.5,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> ProjectedScores:
    """Scores of a store's samples, or those of a list, on components that were saved, into a table."""
    _check_targets(out, None, None, [path for path in (store, components, keep) if path is not None], False)
    found = read_components(components)
    cohort = chosen_of_store(store, keep=keep)
    scores = found.project(cohort, min_overlap=min_overlap, executor=executor, progress=progress)
    write_table(out, [scores.scores])
    return scores


def _check_targets(out: Path, save: Path | None, plot: Path | None, inputs: list[Path], restart: bool) -> None:
    """See, before any work, that everything can be written."""
    check_outputs([path for path in (out, save, plot) if path is not None], inputs)
    table_suffix(out)
    check_writable(out)
    if plot is not None:
        if plot.suffix.lower() not in (".png", ".pdf", ".svg"):
            raise OutputError(f"{plot}: a plot is saved as .png, .pdf or .svg.")
        check_writable(plot)
    if save is not None:
        _check_folder(save, overwrite=restart)


def _draw(found: PrincipalComponents, plot: Path) -> None:
    from genassoc import plots

    if found.k < 2:
        raise OutputError(f"{plot}: a plot shows two components, and {found.k} was asked for.")
    plots.save_figure(plots.pca(found), plot)

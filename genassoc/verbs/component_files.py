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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data import strangers
from genassoc.data.integrity import FileDigest
from genassoc.data.output import output_error, sync_folder, target_of, wip_path
from genassoc.data.strangers import MalformedError
from genassoc.errors import InputError, OutputError
from genassoc.provenance import genassoc_version
from genassoc.shapes import BoolArray, Float64Array
from genassoc.verbs.component_tables import EXACT, RANDOMISED, component_names

_FORMAT, _VERSION = "genassoc-components", 1
_RECORD, _LOADINGS, _SCORES = "components.json", "loadings.parquet", "scores.parquet"
_MOST_COMPONENTS = 10_000
_MOST_ROWS = 2**31
# Numbers of loadings and scores hardly compress: a file that claims to hold more than so many times its bytes is made to fill memory.
_MOST_EXPANSION = 200
_MOST_LOADING = 1e6  # those of a fit are below 1 / sqrt(eigenvalue); float32 sums of squares hold these
Schema = dict[str, type[pl.DataType]]
_PLACES: Schema = {
    "chromosome": pl.String, "base_pair_location": pl.Int64, "rsid": pl.String, "other_allele": pl.String,
    "effect_allele": pl.String, "effect_allele_frequency": pl.Float64, "call_rate": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class ComponentFields:
    """What principal components are, and what a folder of them holds.

    Attributes
    ----------
    scores : polars DataFrame (sample_id, PC1, ..., PCk)
        Of every sample of the cohort. Over the samples of the fit each component has mean 0 and length 1 (sum of squares), as in PLINK 2's and
        EIGENSOFT's files; its sign is such that its third moment is positive. Null where a projected sample has too few calls.
    fitted : bool array (N,)
        Which samples the components were fitted on; the others were projected.
    loadings : polars DataFrame
        chromosome, base_pair_location, rsid, other_allele, effect_allele, effect_allele_frequency and call_rate (in the fit), PC1, ..., PCk: the score of a sample is the
        sum over variants of ``(copies - 2p) / sqrt(2p(1 - p))`` times the loading.
    eigenvalues : float64 array (k,)
        Of the relationship matrix ``X'X / M`` of the M variants: what PLINK 2 writes.
    total_variance : float
        The sum of all eigenvalues.
    shrinkage : float64 array (k,)
        By which factor scores of samples that are not of the fit would be too small; scores of projected samples are divided by it.
    angles : float64 array (k,)
        Bound of the sine of the angle between the space of PC1, ..., PCi and the exact one; 0 where the method is exact.
    above_noise : int
        How many stand above noise (Tracy-Widom at 0.01).
    method : "exact" or "randomised"
    passes : int
        Over the genotypes.
    seed : int
    notes : tuple of str
        What was left out, and what is to be known.
    record : dict
        Choices and versions, JSON values.
    """

    scores: pl.DataFrame
    fitted: BoolArray
    loadings: pl.DataFrame
    eigenvalues: Float64Array
    total_variance: float
    shrinkage: Float64Array
    angles: Float64Array
    above_noise: int
    method: str
    passes: int
    seed: int
    notes: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def k(self) -> int:
        """Components."""
        return int(self.eigenvalues.size)

    @property
    def names(self) -> list[str]:
        """PC1, ..., PCk."""
        return component_names(self.k)


def write_components(found: ComponentFields, path: Path, *, overwrite: bool = False) -> Path:
    """Write a folder, whole or not at all.

    Raises
    ------
    OutputError
        Something is there already that is not to be replaced, or is no such folder; or it cannot be written.
    """
    target = check_folder(path, overwrite=overwrite)
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
    except pl.exceptions.ComputeError as error:  # polars' word for a disk that is full
        raise OutputError(f"cannot write {path}: {error}; is the disk full?") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(wip)
    return path


def check_folder(path: Path, *, overwrite: bool) -> Path:
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


def read_components(path: Path) -> ComponentFields:
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
    names: Schema = dict.fromkeys(component_names(k), pl.Float64)
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
    return ComponentFields(
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


def _table(path: Path, files: dict[str, object], schema: Schema) -> pl.DataFrame:
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


def _numbers(content: dict[str, object], name: str, k: int) -> Float64Array:
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
    loads = table.select(table.columns[len(_PLACES) :])
    if (loads.select(pl.all().abs().max()).max_horizontal().item() or 0.0) > _MOST_LOADING:
        raise MalformedError("a loading is larger than any that a fit gives")
    if min(loads.select(pl.all().abs().max()).row(0)) == 0.0:
        raise MalformedError("all loadings of a component are 0")
    if table.select("chromosome", "base_pair_location", "other_allele", "effect_allele").is_duplicated().any():
        raise MalformedError("a variant is there twice")
    if not ((frequency > 0.0) & (frequency < 1.0)).all() or not ((rate > 0.0) & (rate <= 1.0)).all():
        raise MalformedError("a frequency is not between 0 and 1")

"""What a whole-genome regression gives: predictions of traits, for each chromosome without its own.

In memory, or as REGENIE's files: a ``.loco`` file a trait, the list of them, and a record beside it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import chromosome_of
from genassoc.data.integrity import Digesting, FileDigest
from genassoc.data.output import check_writable, replacing, target_of
from genassoc.data.phenotypes.offsets import PredictionTables, Unit
from genassoc.data.sidecar import Standing, standing, write_record
from genassoc.errors import InputError, OutputError, PhenotypeError
from genassoc.shapes import BoolArray, Float32Array, Float64Array

PREFIX = "step1"
LIST = f"{PREFIX}_pred.list"
DECIMALS = 9  # of predictions, in memory and in files
_HUMAN = [str(number) for number in range(1, 23)]


@dataclass(frozen=True, eq=False, kw_only=True)
class WholeGenomePredictions:
    """Predictions of traits from all variants, to be given as ``associate(cohort, model, offsets=predictions)``.

    Attributes
    ----------
    sample_ids : tuple of str
        N samples of the cohort that was fitted.
    traits : tuple of str
        Those that could be fitted.
    chromosomes : mapping
        Key of a chromosome -> its name in the store; those with blocks, H in all.
    contributions : mapping
        Trait -> float32 array (H, N): what each chromosome's variants add to the linear predictor; NaN where a sample lacks the trait.
    family_ids : tuple of str or None
        Their FIDs, where the phenotypes have some.
    outcome : str
    unit : {"residual_sd", "trait"}
        What 1 is: of quantitative traits a standard deviation of their residuals on the covariates; else of the linear predictor.
    summary : DataFrame
        trait, n, n_folds (0: each sample from all others), h2 (of the penalty that was chosen), r2, neg_log_likelihood (a sample), and
        n_variants, n_blocks; traits that failed have a ``failure`` in words. The r2 of the ridge is too good: of a trait that no
        variant predicts it is about n_blocks / (n_blocks + n). (Level 1 of a fold learns from predictions of the other folds, which were fitted with
        this fold's values in; so it is in REGENIE. The p values of associations with these predictions do not suffer.)
    penalties : DataFrame
        trait, h2 and what cross-validation found with its penalty.
    left_out : DataFrame
        variant (its number in the store), reason: variants that are selected and have no block, or no part in one.
    notes : tuple of str
    provenance : mapping
    """

    sample_ids: tuple[str, ...]
    family_ids: tuple[str, ...] | None = None
    traits: tuple[str, ...]
    chromosomes: Mapping[str, str]
    contributions: Mapping[str, Float32Array] = field(repr=False)
    outcome: str
    unit: Unit
    summary: pl.DataFrame
    penalties: pl.DataFrame = field(repr=False)
    left_out: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def loco(self, trait: str, chromosome: str | None = None) -> Float64Array:
        """The prediction of a trait without a chromosome, (N,); of all chromosomes where none is named or it has no block.

        Raises
        ------
        PhenotypeError
            There is no prediction of the trait.
        """
        if trait not in self.contributions:
            raise PhenotypeError(f"there is no prediction of '{trait}'; there are those of {', '.join(self.traits)}")
        parts = self.contributions[trait].astype(np.float64)
        others = [h for h, key in enumerate(self.chromosomes) if key != chromosome]
        observed = ~np.isnan(parts[0])
        # A billionth of a standard deviation, or of a log odds, is nothing: files hold the very same numbers, and give the same rows.
        return np.where(observed, np.round(parts[others].sum(axis=0), DECIMALS), np.nan)

    @cached_property
    def tables(self) -> PredictionTables:
        """The predictions as tables, as `genassoc.associate` takes them."""
        made = {name: self.table(key) for key, name in self.chromosomes.items()}
        ranks = self.provenance.get("parameters", {}).get("model", {}).get("rank_normalise") is True
        return PredictionTables(made, self.table(), self.unit, self.outcome, "the whole-genome predictions", ranks)

    def table(self, chromosome: str | None = None) -> pl.DataFrame:
        """Predictions of all traits without a chromosome: sample_id, then a column for each trait; null where a sample has none."""
        columns = {trait: pl.Series(self.loco(trait, chromosome)).fill_nan(None) for trait in self.traits}
        return pl.DataFrame({"sample_id": pl.Series(self.sample_ids, dtype=pl.String), **columns})

    def write(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write the predictions as REGENIE's files, which its step 2 and ``associate(offsets=folder)`` take.

        Parameters
        ----------
        folder : path
            Made where it is not there: ``step1_1.loco``, ``step1_2.loco``, ... in the order of the traits, each whole or not at all, and
            last ``step1_pred.list``, with the record of the fit beside it.
        overwrite : bool
            Replace those of another fit.

        Returns
        -------
        list of Path

        Raises
        ------
        OutputError
            They cannot be written; or the folder holds those of another fit (says what differs).
        InputError
            The name of a sample or of a trait has a blank in it.
        """
        return write_loco(self, folder, overwrite=overwrite)


def write_loco(predictions: WholeGenomePredictions, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Write ``step1_1.loco``, ..., and last ``step1_pred.list`` with the record beside it; see `WholeGenomePredictions.write`."""
    folder = Path(folder)
    names = _header(predictions)
    _check_traits(predictions.traits)
    listed = folder / LIST
    if not overwrite:
        found = standing_predictions(folder, predictions.provenance.get("run", {}), predictions.provenance)
        if found is not None and not found.same:
            raise OutputError(
                f"{listed} exists already and is of another fit: {found.why}. Nothing was written: write into another folder, or replace "
                "it (--force, overwrite=True)"
            )
        if found is not None:
            return [folder / name for name in found.record.content.get("files", {})] + [listed]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
    check_writable(listed)
    if overwrite:
        listed.unlink(missing_ok=True)  # while files are replaced no list names them
    files: dict[str, dict[str, Any]] = {}
    for number, trait in enumerate(predictions.traits, 1):
        path = folder / f"{PREFIX}_{number}.loco"
        digest = _write_trait(predictions, trait, names, path)
        files[path.name] = {"trait": trait, "bytes": digest.n_bytes, "sha256": digest.sha256}
    lines = [f"{trait} {(folder / name).absolute()}\n" for trait, name in zip(predictions.traits, files)]
    text = "".join(lines).encode()

    def seal() -> None:
        digest = FileDigest(len(text), hashlib.sha256(text).hexdigest())
        write_record(listed, {**predictions.provenance, "files": files}, digest)

    with replacing(target_of(listed), sealed=seal) as file:
        file.write(text)
    return [*(folder / name for name in files), listed]


def standing_predictions(folder: Path, run: Mapping[str, object], wanted: Mapping[str, object]) -> Standing | None:
    """The predictions that a folder holds already, compared with those requested; None where it holds none."""
    found = standing(folder / LIST, run, {name: wanted.get(name, {}) for name in ("parameters", "inputs")})
    if found is None or not found.same:
        return found
    for name, of in found.record.content.get("files", {}).items():
        path = folder / Path(str(name)).name
        if not path.is_file() or FileDigest.of(path) != FileDigest(of.get("bytes"), of.get("sha256")):
            return Standing(False, found.record, f"{path} is not the file that was written")
    return found


def _write_trait(predictions: WholeGenomePredictions, trait: str, names: list[str], path: Path) -> FileDigest:
    observed = ~np.isnan(predictions.contributions[trait][0]) if predictions.chromosomes else np.zeros(0, bool)
    with replacing(target_of(path)) as file:
        out = Digesting(file)
        out.write(("FID_IID " + " ".join(name for name, has in zip(names, observed) if has) + "\n").encode())
        for name, key in _rows(predictions):
            out.write(_line(name, predictions.loco(trait, key), observed))
    return out.digest


def _line(name: str, values: Float64Array, observed: BoolArray) -> bytes:
    """A row: the shortest digits that give a number back as it was."""
    return f"{name} {' '.join(map(repr, values[observed].tolist()))}\n".encode()


def _rows(predictions: WholeGenomePredictions) -> list[tuple[str, str | None]]:
    """Names of rows and the key of the chromosome that each leaves out: of human chromosomes 1 to 22, and 23, which leaves out none."""
    keys = list(predictions.chromosomes)
    if all(key in _HUMAN and chromosome_of(key) == key for key in keys):
        return [*((name, name) for name in _HUMAN), ("23", None)]
    return [*((key.removeprefix("="), key) for key in keys), ("X", None)]


def check_names(cohort: Cohort, traits: Sequence[str]) -> None:
    """See, before any work, that files of predictions can name the samples and traits.

    Raises
    ------
    InputError
        The name of one has a blank in it.
    """
    _check_traits(cohort.phenotypes.resolve(tuple(traits), "trait"))
    ids = [str(name) for name in cohort.sample_ids]
    _joined(ids, ids)


def _header(predictions: WholeGenomePredictions) -> list[str]:
    """FID_IID of each sample: the ids twice where the phenotypes name no families."""
    return _joined(predictions.sample_ids, predictions.family_ids or predictions.sample_ids)


def _joined(ids: Sequence[str], families: Sequence[str]) -> list[str]:
    for family, name in zip(families, ids):
        if len(f"{family}_{name}".split()) != 1:
            raise InputError(
                f"the sample '{name}' cannot be named in a .loco file, whose columns stand between blanks: rename it, or give the "
                "predictions to associate(offsets=...) in memory"
            )
    return [f"{family}_{name}" for family, name in zip(families, ids)]


def _check_traits(traits: tuple[str, ...]) -> None:
    for trait in traits:
        if len(trait.split()) != 1:
            raise InputError(
                f"the trait '{trait}' cannot be named in {LIST}, whose columns stand between blanks: rename the column, or give the "
                "predictions to associate(offsets=...) in memory"
            )

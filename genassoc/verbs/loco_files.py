"""Predictions of a whole-genome regression as REGENIE's files: a ``.loco`` file a trait, the list of them, and a record beside it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genassoc.data.cohort.contigs import chromosome_of
from genassoc.data.integrity import Digesting, FileDigest
from genassoc.data.output import check_writable, replacing, target_of
from genassoc.data.sidecar import Standing, standing, write_record
from genassoc.errors import InputError, OutputError
from genassoc.shapes import BoolArray, Float64Array
from genassoc.verbs.predictions import WholeGenomePredictions

PREFIX = "step1"
LIST = f"{PREFIX}_pred.list"
_HUMAN = [str(number) for number in range(1, 23)]


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


def standing_predictions(folder: Path, run: Mapping[str, Any], wanted: Mapping[str, Any]) -> Standing | None:
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
    """A row: nine digits give a float32 back as it was."""
    return f"{name} {' '.join(f'{value:.9g}' for value in values[observed].tolist())}\n".encode()


def _rows(predictions: WholeGenomePredictions) -> list[tuple[str, str | None]]:
    """Names of rows and the key of the chromosome that each leaves out: of human chromosomes 1 to 22, and 23, which leaves out none."""
    keys = list(predictions.chromosomes)
    if all(key in _HUMAN and chromosome_of(key) == key for key in keys):
        return [*((name, name) for name in _HUMAN), ("23", None)]
    return [*((key.removeprefix("="), key) for key in keys), ("X", None)]


def _header(predictions: WholeGenomePredictions) -> list[str]:
    """FID_IID of each sample: the ids twice where the phenotypes name no families."""
    ids = predictions.sample_ids
    families = predictions.family_ids or ids
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

"""Relationships of a cohort's samples as a matrix: read from a file, given as an array, or of the store's autosomal variants."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from genassoc.data.block import GenotypeBlock, take_samples
from genassoc.data.memory import show_memory
from genassoc.data.phenotypes.kinship import Kinship, Scaling
from genassoc.data.schema import HET, NOT_OBSERVED, working_variants
from genassoc.errors import GenassocError, InputError
from genassoc.kernels.genotypes.standardised import decode_by_table
from genassoc.shapes import Array, Float64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

Given = str | Path | Array
Each = Callable[[Callable[[int], None], Iterable[int]], Iterable[None]]

_ASYMMETRY = 1e-4  # of the largest entry: text of a few digits is not symmetric to the last
_PANEL = 1024  # rows of the matrix that a thread adds to at a time
_PIECE = 512  # variants: their float32 products are added up in float64
_LONGEST = 64  # bytes of a number in text, with its blanks


def key_of(cohort: "Cohort", kinship: Kinship, contig: str) -> str:
    """What matrix a contig has: its chromosome's key where each has its own, if it is an autosome; else "all"."""
    if not kinship.loco or not contig:
        return ""
    return chromosome_key(cohort, contig) or "all"


def matrix_of(cohort: "Cohort", kinship: Kinship) -> Float64Array:
    """The matrix (N, N) to analyse by, a copy.

    Raises
    ------
    GenassocError
        It has no variants.
    """
    if kinship.scaling is None:
        assert kinship.values is not None
        return kinship.values.copy()
    whole = kinship if kinship.values is not None else filled(cohort, kinship).kinship
    assert whole is not None and whole.values is not None
    total, n = whole.values, whole.n_variants
    if kinship.left_out in ("", "all"):
        return total / n
    own, n_own = relationship_sums(cohort, kinship, only=kinship.left_out)
    if n_own == n:
        raise GenassocError(
            f"loco=True leaves out the variants of the chromosome that is tested, and all {n:,} of the relationship matrix lie on "
            f"{kinship.left_out}: there is nothing left to make a matrix of. Give the store of all chromosomes, or loco=False."
        )
    np.subtract(total, own, out=own)
    own /= n - n_own
    return own


def chromosome_key(cohort: "Cohort", contig: str) -> str:
    """The key of an autosome's contig; "" for X, Y and MT, whose variants tell relationships otherwise."""
    return (cohort.contigs.chromosomes.get(contig) or contig) if cohort.contigs.autosomal(contig) else ""


def with_kinship(cohort: "Cohort", given: Given) -> "Cohort":
    """The cohort with a matrix of its samples' relationships, rows and columns in the order of the store's samples.

    Parameters
    ----------
    cohort : Cohort
    given : path or array
        A file of text, one row a line (GEMMA's ``cXX.txt``), or ``.npy``; or an array.

    Raises
    ------
    InputError
        It is not square, of another number of samples, not symmetric, or holds what is no finite number.
    """
    n = int(cohort.store.n_samples)
    if isinstance(given, str | Path):
        path = Path(given).expanduser().absolute()
        source, read = str(path), _read_npy if path.name.endswith(".npy") else _read_text
        values, origin = read(path, n, cohort.n_samples), str(path)
    else:
        source, values, origin = "the kinship matrix given", np.asarray(given), None
    values = _checked(values, source, n, cohort.n_samples)
    digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()[:16]
    index = cohort.sample_index
    own = values if index.size == n else values[np.ix_(index, index)]
    return replace(cohort, kinship=Kinship(values=own, digest=digest, source=source, origin=origin))


def _checked(values: Array, source: str, n: int, n_cohort: int) -> Float64Array:
    """The matrix as float64, symmetric to the last bit."""
    try:
        matrix = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{source}: a kinship matrix holds numbers and nothing else ({error}).") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{source}: a kinship matrix is square, and this has the shape {matrix.shape}.")
    if matrix.shape[0] != n:
        raise InputError(_other_size(source, f"{matrix.shape[0]:,} x {matrix.shape[0]:,}", n, n_cohort))
    step = max(1, 2**24 // max(n, 1))
    largest = 0.0
    for first in range(0, n, step):
        rows = matrix[first : first + step]
        if not np.isfinite(rows).all():
            i, j = np.argwhere(~np.isfinite(rows))[0]
            raise InputError(
                f"{source}: row {first + i + 1:,}, column {j + 1:,} is {rows[i, j]}, no finite number: a kinship matrix has one for every pair."
            )
        largest = max(largest, float(np.abs(rows).max(initial=0.0)))
    for first in range(0, n, step):
        rows, columns = matrix[first : first + step], matrix[:, first : first + step].T
        apart = np.abs(rows - columns)
        if (apart > _ASYMMETRY * largest).any():
            i, j = np.unravel_index(int(apart.argmax()), apart.shape)
            raise InputError(
                f"{source} is not symmetric: row {first + i + 1:,}, column {j + 1:,} is {rows[i, j]:g}, and row {j + 1:,}, column "
                f"{first + i + 1:,} is {columns[i, j]:g}. A kinship matrix is the same both ways; is it another table, or cut off?"
            )
    for first in range(0, n, step):
        last = first + step
        matrix[first:last, first:] = 0.5 * (matrix[first:last, first:] + matrix[first:, first:last].T)
        matrix[first:, first:last] = matrix[first:last, first:].T
    return matrix


def _other_size(source: str, size: str, n: int, n_cohort: int) -> str:
    text = f"{source} is {size}, and the store has {n:,} samples: a kinship matrix has a row and a column for each sample of the store, in its order"
    if n_cohort != n:
        text += f", also for those that are left out of the cohort ({n_cohort:,} are in it)"
    return text + ". Compute it from the same genotypes, or leave it out: then it is made of the store."


def _read_npy(path: Path, n: int, n_cohort: int) -> Array:
    """A matrix of numpy's, whose header is checked before anything is read."""
    _check_plain(path)
    try:
        with path.open("rb") as file:
            mark = file.read(len(MAGIC_PREFIX))
        if mark != MAGIC_PREFIX:
            kind = "several arrays in one file (.npz)" if mark[:2] == b"PK" else "other bytes at its beginning"
            raise InputError(f"{path} is no matrix as numpy.save writes it: it has {kind}.")
        found = np.lib.format.open_memmap(path, mode="r")
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    # The header of a stranger's file is parsed as Python and as numpy types: almost any error comes of it. What numpy says is not
    # repeated, since it advises to trust the file.
    except Exception as error:
        raise InputError(
            f"{path} is no matrix as numpy.save writes it: its header is damaged, of Python objects, or of more than the file holds "
            f"({type(error).__name__}). Write it again with numpy.save, as float64."
        ) from error
    if found.dtype.kind not in "fiu":
        raise InputError(f"{path} holds values of the type {found.dtype}: a kinship matrix holds numbers.")
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise InputError(f"{path}: a kinship matrix is square, and this has the shape {found.shape}.")
    if found.shape[0] != n:
        raise InputError(_other_size(str(path), f"{found.shape[0]:,} x {found.shape[0]:,}", n, n_cohort))
    return found


def _read_text(path: Path, n: int, n_cohort: int) -> Float64Array:
    """A matrix of text, a row a line; lines are bounded, so that another file is refused before it fills memory."""
    matrix = np.empty((n, n))
    row = 0
    for number, line in enumerate(_lines(path, n * _LONGEST + 1024), 1):
        cells = line.replace(b",", b" ").split()
        if not cells:
            continue
        if len(cells) != n or row == n:
            found = (
                f"{len(cells):,} numbers in line {number:,}" if len(cells) != n else f"more than {n:,} lines of numbers"
            )
            raise InputError(_other_size(str(path), f"a matrix with {found}", n, n_cohort))
        try:
            if b"_" in line:  # Python reads 1_0 as 10
                raise ValueError(f"{next(cell for cell in cells if b'_' in cell)!r} is no number")
            matrix[row] = np.array(cells, dtype=np.float64)
        except ValueError as error:
            raise InputError(
                f"{path}, line {number:,}: {error}; a kinship matrix holds numbers and no names of samples."
            ) from error
        row += 1
    if row != n:
        raise InputError(_other_size(str(path), f"a matrix of {row:,} lines", n, n_cohort))
    return matrix


def _check_plain(path: Path) -> None:
    """Refuse pipes and devices, of which there is no end, and folders."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no plain file; it was not opened.")


def _lines(path: Path, longest: int) -> Iterator[bytes]:
    import gzip

    _check_plain(path)
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            while line := file.readline(longest):
                if len(line) == longest:
                    raise InputError(
                        f"{path} has a line of {show_memory(longest)} and more: no row of a kinship matrix of this store's samples."
                    )
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


# from the store ----------------------------------------------------------------------------------------------------------------


def filled(
    cohort: "Cohort", kinship: Kinship | None = None, each: Each = map, tell: Callable[[int], None] | None = None
) -> "Cohort":
    """The cohort whose relationships have been computed.

    Parameters
    ----------
    cohort : Cohort
    kinship : Kinship, optional
        What is to be computed; the cohort's by default.
    each : callable
        As `map`: does the parts of a matrix, which do not depend on each other.
    tell : callable, optional
        Told of so many variants more.

    Raises
    ------
    GenassocError
        There is no variant to compute them of.
    """
    kinship = cohort.kinship if kinship is None else kinship
    assert kinship is not None
    if kinship.scaling is None or kinship.values is not None:
        return cohort
    total, n = relationship_sums(cohort, kinship, each=each, tell=tell)
    if n == 0:
        raise GenassocError(
            f"no relationships can be computed of the store: none of its autosomal variants has a minor allele frequency of {kinship.maf:g} "
            f"or more among {cohort.n_samples:,} samples. Give a kinship matrix, or lower grm_maf."
        )
    return replace(cohort, kinship=replace(kinship, values=total, n_variants=n))


def relationship_sums(
    cohort: "Cohort",
    kinship: Kinship,
    only: str | None = None,
    each: Each = map,
    tell: Callable[[int], None] | None = None,
) -> tuple[Float64Array, int]:
    """Sums over autosomal variants, or those of one chromosome, of products of all pairs' genotypes (N, N), and their number.

    Missing calls take the mean. All variants of the store count, whatever variants the cohort selects.
    """
    N = cohort.n_samples
    total, used = np.zeros((N, N)), 0
    # One size whatever a run's blocks are: sums are added in one order.
    step = working_variants(cohort.block_width, cohort.has_dosages)
    for contig, first, last in cohort.store.contig_runs():
        key = chromosome_key(cohort, contig)
        if not key or (only is not None and key != only):
            continue
        for start in range(first, last, step):
            stop = min(start + step, last)
            for Z in _standardised(cohort, kinship, start, stop):
                used += len(Z)
                _add_products(Z, total, each)
            if tell is not None:
                tell(stop - start)
    for first in range(0, N, _PANEL):
        total[first:, first : first + _PANEL] = total[first : first + _PANEL, first:].T
    return total, used


def _standardised(cohort: "Cohort", kinship: Kinship, start: int, stop: int) -> Iterator[Array]:
    """Genotypes of the variants that count, as float32 arrays (v, N)."""
    block = cohort.read(start, stop)
    if not np.array_equal(cohort.block_columns, np.arange(block.n_samples)):
        block = take_samples(block, cohort.block_columns)
    assert kinship.scaling is not None
    yield from standardised_pieces(block, kinship.scaling, kinship.maf)


def standardised_pieces(block: GenotypeBlock, scaling: Scaling, maf: float) -> Iterator[Array]:
    """Genotypes of a block less their means, scaled to variance 1 or not, of variants common enough: float32 arrays (v, N)."""
    counts = block.counts.astype(np.float64)
    n = np.maximum(counts[:, :NOT_OBSERVED].sum(axis=1), 1.0)
    mean = (counts[:, HET] + 2.0 * counts[:, 2]) / n
    # Variance over all samples: those not observed have the mean.
    variance = (counts[:, HET] + 4.0 * counts[:, 2] - n * mean * mean) / block.n_samples
    chosen = np.flatnonzero((np.minimum(mean, 2.0 - mean) >= 2.0 * maf) & (variance > 1e-9))
    size = np.sqrt(variance[chosen]) if scaling == "standardised" else np.ones(chosen.size)
    table = np.zeros((chosen.size, 4), np.float32)
    table[:, :NOT_OBSERVED] = (np.arange(3.0) - mean[chosen, None]) / size[:, None]
    for first in range(0, chosen.size, _PIECE):
        some = slice(first, first + _PIECE)
        Z = np.empty((chosen[some].size, block.n_samples), np.float32)
        decode_by_table(np.ascontiguousarray(block.packed[chosen[some]]), table[some], Z)
        yield Z


def _add_products(Z: Array, total: Float64Array, each: Each) -> None:
    """Add Z'Z to the upper part of the matrix, panel by panel."""

    def panel(first: int) -> None:
        total[first : first + _PANEL, first:] += Z[:, first : first + _PANEL].T @ Z[:, first:]

    starts = range(0, total.shape[0], _PANEL)
    for _ in (map if len(starts) == 1 else each)(panel, starts):
        pass

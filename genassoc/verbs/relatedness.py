"""A look at relatives and ancestry in front of an association: a few thousand pruned variants, what there is to warn of, in a line each.

Nothing that is found here changes a number of a run.
"""

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from genassoc.analyses.kinship.pairs import DUPLICATE, FIRST_DEGREE, SECOND_DEGREE, related_pairs
from genassoc.analyses.leading_components import MOST_COMPONENTS, LeadingComponents, leading_components
from genassoc.analyses.pruning import Piece, Pruning, Window, prune_contig
from genassoc.data import strangers
from genassoc.data.block import GenotypeBlock, take_samples
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.predictors import PredictorStore
from genassoc.data.output import replacing
from genassoc.data.strangers import MalformedError
from genassoc.engine.executors import Threads, single_threaded_blas
from genassoc.errors import GenassocError
from genassoc.kernels.cache_files import base_folder
from genassoc.models.base import AssociationModel
from genassoc.models.registry import kind_of
from genassoc.provenance import NUMBERS
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.stats.unrelated import unrelated_set
from genassoc.verbs.options import RunOptions

SEED = 20_150_601
MOST_SAMPLES = 20_000  # among whom relatives are looked for; of more a random subset
_MOST_FOR_COMPONENTS = 1_000
_LEAST_FOR_COMPONENTS = 50
_MOST_VARIANTS, _FEWER_VARIANTS, _MANY_SAMPLES = 6_144, 4_096, 5_000  # fewer where samples are many
_LEAST_VARIANTS = 200
_CANDIDATES = 3  # for each variant that is wanted: pruning leaves a fifth to a half
_CHUNKS, _CHUNK_BYTES = 44, 2**28  # of the store, read at the most; fewer chunks where they are large
_LEAST_CHUNKS = 8
_LEAST_MAF, _MOST_MISSING = 0.1, 0.05
_PRUNING = Pruning(0.2, Window(100, True))
_PAIRED = 256  # samples all of whose pairs tell how kinship of unrelated ones spreads
_LOST = 0.05  # share of the samples that may be lost where components are of those without relatives
_HELD = 0.5  # share of a component's reliable variance that covariates must explain
_DEGREES = ("duplicates or identical twins", "first degree", "second degree")
_CACHED, _MOST_CACHED, _MOST_BYTES = "structure", 200, 2**20


@dataclass(frozen=True)
class Look:
    """What a few thousand variants tell of samples.

    Attributes
    ----------
    n_samples : int
        Samples analysed.
    n_looked_at : int
        Of these, among whom relatives were looked for.
    n_variants : int
        Variants looked at; 0 where there were too few, and nothing is known.
    pairs : tuple of int
        Pairs of duplicates, of first degree, of second degree.
    n_degrees : int
        How many of these degrees so many variants can tell from unrelated ones.
    samples : tuple of int
        Of the samples analysed those, unrelated, that the components are of.
    scores : tuple of tuple of float
        Components that both halves of the genome agree on (at most four), of these samples.
    reliability : tuple of float
    """

    n_samples: int
    n_looked_at: int
    n_variants: int
    pairs: tuple[int, ...] = (0, 0, 0)
    n_degrees: int = 0
    samples: tuple[int, ...] = ()
    scores: tuple[tuple[float, ...], ...] = ()
    reliability: tuple[float, ...] = ()

    @classmethod
    def from_content(cls, content: dict[str, object], n_samples: int) -> "Look":
        """What a file holds that anybody may have written.

        Raises
        ------
        MalformedError
            A field is none, or does not fit.
        """
        whole, items = strangers.whole, strangers.items

        def wholes(name: str, most: int, length: int | None = None) -> tuple[int, ...]:
            found = tuple(whole(value, name, 0, most) for value in strangers.field(content, name, items))
            if length is not None and len(found) != length:
                raise MalformedError(f"{name} has {len(found)} values")
            return found

        looked = strangers.field(content, "n_looked_at", whole, 0, n_samples)
        samples = wholes("samples", n_samples - 1)
        reliability = [_fraction(value, 0.0) for value in strangers.field(content, "reliability", items)]
        scores = [
            tuple(_fraction(value, -1.0) for value in strangers.items(row, "scores"))
            for row in strangers.field(content, "scores", items)
        ]
        if len(samples) > _MOST_FOR_COMPONENTS or len(reliability) > MOST_COMPONENTS or len(scores) != len(reliability):
            raise MalformedError("its components do not fit")
        if any(len(row) != len(samples) for row in scores) or (scores and len(samples) < _LEAST_FOR_COMPONENTS):
            raise MalformedError("its scores do not fit its samples")
        n_variants = strangers.field(content, "n_variants", whole, 0, _MOST_VARIANTS)
        pairs = wholes("pairs", looked * max(looked - 1, 0) // 2, 3)
        degrees = strangers.field(content, "n_degrees", whole, 0, 3)
        return cls(n_samples, looked, n_variants, pairs, degrees, samples, tuple(scores), tuple(reliability))

    @property
    def components(self) -> LeadingComponents:
        """The components as arrays."""
        scores = np.array(self.scores, dtype=float).reshape(len(self.scores), len(self.samples)).T
        return LeadingComponents(scores, np.array(self.reliability, dtype=float))

    def record(self) -> dict[str, object]:
        """For the provenance of a run."""
        found = dict(zip(("duplicates", "first_degree", "second_degree"), self.pairs))
        return {
            "samples": self.n_looked_at,
            "variants": self.n_variants,
            "pairs": dict(list(found.items())[: self.n_degrees]),
            "components": len(self.reliability),
            "seed": SEED,
        }


def _fraction(value: object, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1:
        raise MalformedError("a score is no number that it may be")
    return float(value)


@dataclass(frozen=True)
class Structure:
    """What there is to say, and what the record keeps.

    Attributes
    ----------
    notes : tuple of str
    warned : tuple of str
        Of these what the model does not account for.
    record : dict
    lines : tuple of str
        What `check` shows, also where there is nothing to warn of.
    """

    notes: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    record: dict[str, object] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def structure_of(cohort: Cohort, model: AssociationModel, options: RunOptions) -> Structure:
    """What is to be said of relatives and ancestry among the samples that a model analyses.

    Parameters
    ----------
    cohort : Cohort
    model : AssociationModel
        Of which the traits and covariates count.
    options : RunOptions
        ``relatedness`` turns it off; ``tell`` hears what there is to say.
    """
    if not options.relatedness or isinstance(cohort.store, PredictorStore):
        return Structure()
    design = cohort.design((), model.covariates)
    analysed = np.flatnonzero(design.complete & _has_a_trait(cohort, model))
    if analysed.size < 2:
        return Structure()
    found = look_at(cohort, analysed, options.n_threads)
    relatives = [*_of_relatives(found, cohort, model)]
    ancestry = [*_of_components(found, design.X[analysed], cohort, model)]
    notes = [*relatives, *ancestry]
    # Samples that are there twice are nobody's relatives; a matrix of the store's variants knows their ancestry too.
    warned = [
        *(relatives if found.pairs[0] or not _way(cohort, model) else []),
        *(ancestry if kind_of(model) != "mixed" else []),
    ]
    options.say(notes)
    lines = notes if relatives else [*notes, _nothing(found, ancestry=bool(ancestry))]
    return Structure(tuple(notes), tuple(warned), {"structure": found.record()}, tuple(lines))


def _has_a_trait(cohort: Cohort, model: AssociationModel) -> BoolArray:
    """Samples (N,) with a value of any trait."""
    table = cohort.phenotypes.table
    has = [
        table[name].gather(cohort.rows).is_not_null().to_numpy()
        for name in cohort.phenotypes.resolve(tuple(model.traits), "trait")
        if name in table.columns
    ]
    return np.any(has, axis=0) if has else np.ones(cohort.n_samples, dtype=bool)


def look_at(cohort: Cohort, analysed: Int64Array, threads: int | None = None) -> Look:
    """Relatives and components among some of a cohort's samples; kept in a folder of the user's, for the next run of the same.

    Parameters
    ----------
    analysed : int64 array (n,)
        Positions among the cohort's samples.
    """
    key = hashlib.sha256(f"2 {NUMBERS} {cohort.store.fingerprint} {cohort.n_samples} ".encode())
    key.update(np.ascontiguousarray(cohort.sample_index[analysed]).tobytes())
    file = _cache_file(key.hexdigest())
    kept = None if file is None else _kept(file, int(analysed.size))
    if kept is not None:
        return kept
    found = _look(cohort, analysed, threads)
    if file is not None:
        _keep(file, found)
    return found


def _look(cohort: Cohort, analysed: Int64Array, threads: int | None) -> Look:
    n, rng = int(analysed.size), np.random.default_rng(SEED)
    some = np.arange(n) if n <= MOST_SAMPLES else np.sort(rng.choice(n, MOST_SAMPLES, replace=False))
    chosen = _variants(cohort, cohort.block_columns[analysed[some]])
    if chosen is None or chosen[0].n_variants < _LEAST_VARIANTS:
        return Look(n, int(some.size), 0)
    block, chromosome = chosen
    executor = Threads(threads)
    mapped = map if some.size < 2_000 or executor.n == 1 else executor.map
    pairs, _ = related_pairs(block, np.arange(some.size), SECOND_DEGREE, mapped=mapped)
    # An unrelated pair is taken for one of this degree less than once in ten cohorts.
    middle, error = _spread(block, rng)
    n_pairs = some.size * (some.size - 1) / 2
    degrees = (DUPLICATE, FIRST_DEGREE, SECOND_DEGREE)
    by_chance = [n_pairs * 0.5 * math.erfc((least - middle) / error / math.sqrt(2)) for least in degrees]
    n_degrees = int(np.count_nonzero(np.array(by_chance) < 0.1))
    least = degrees[:n_degrees]
    above = [int(np.count_nonzero(pairs.kinship >= bound)) for bound in least] + [0] * (3 - n_degrees)
    counts = (above[0], max(above[1] - above[0], 0), max(above[2] - above[1], 0))
    look = Look(n, int(some.size), block.n_variants, counts, n_degrees)
    # Components of families are none of ancestry: close relatives go, and with them whom chance makes alike, while these are few.
    apart = [bound for bound, chance in zip(degrees, by_chance) if chance < _LOST * some.size]
    if len(apart) < 2:
        return look
    related = pairs.take(pairs.kinship >= apart[-1])
    kept = unrelated_set(int(some.size), related.left, related.right, related.kinship).keep
    alone = np.flatnonzero(kept)
    if alone.size > _MOST_FOR_COMPONENTS:
        alone = np.sort(rng.choice(alone, _MOST_FOR_COMPONENTS, replace=False))
    if alone.size < _LEAST_FOR_COMPONENTS:
        return look
    of_alone = take_samples(block, alone)
    varies = (np.sort(of_alone.counts[:, :3], axis=1)[:, 1] > 0) & (of_alone.counts[:, :3].sum(axis=1) > alone.size / 2)
    with single_threaded_blas():
        components = leading_components(of_alone.take(varies), _halves(chromosome[varies]), SEED)
    if not components.n:
        return look
    return Look(
        n, int(some.size), block.n_variants, counts, n_degrees,
        tuple(int(at) for at in some[alone]),
        tuple(tuple(float(score) for score in column) for column in components.scores.T),
        tuple(float(value) for value in components.reliability),
    )  # fmt: skip


def _variants(cohort: Cohort, columns: Int64Array) -> tuple[GenotypeBlock, Int64Array] | None:
    """A few thousand common variants of the autosomes, pruned, of the samples at some columns of the cohort's blocks; and their chromosomes by number."""
    store = cohort.store
    runs = [run for run in store.contig_runs() if cohort.contigs.autosomal(run[0])]
    step = store.block_variants
    chunks = [
        (number, max(start, at), min(stop, at + step))
        for number, (_, start, stop) in enumerate(runs)
        for at in range(start - start % step, stop, step)
    ]
    if not chunks:
        return None
    wanted = _MOST_VARIANTS if columns.size <= _MANY_SAMPLES else _FEWER_VARIANTS
    most = max(_LEAST_CHUNKS, min(_CHUNKS, _CHUNK_BYTES // max(1, step * store.n_samples // 4)))
    if len(chunks) > most:
        chunks = [chunks[at] for at in np.linspace(0, len(chunks) - 1, most).round().astype(int)]
    share = -(-_CANDIDATES * wanted // len(chunks))
    packed: list[GenotypeBlock] = []
    numbers: list[Int64Array] = []
    for number, start, stop in chunks:
        block = cohort.read(start, stop)
        if columns.size < block.n_samples:
            block = take_samples(block, columns)
        usable = np.flatnonzero(_common(block.counts))
        if usable.size > share:
            usable = usable[np.linspace(0, usable.size - 1, share).round().astype(int)]
        if usable.size:
            packed.append(block.take(usable))
            numbers.append(np.full(usable.size, number))
    if not packed:
        return None
    block = GenotypeBlock(np.concatenate([one.packed for one in packed]), int(columns.size))
    contig = np.concatenate(numbers)
    at = np.arange(block.n_variants)
    every = np.packbits(np.pad(np.ones(columns.size, np.uint8), (0, -columns.size % 64)), bitorder="little").view(
        np.uint64
    )
    kept = prune_contig([Piece(block, at, at + 2 * _PRUNING.window.size * contig)], every, _PRUNING).numbers
    if kept.size > wanted:
        kept = kept[np.linspace(0, kept.size - 1, wanted).round().astype(int)]
    return GenotypeBlock(block.packed[kept], block.n_samples), contig[kept]


def _common(counts: Int64Array) -> BoolArray:
    """Variants (V,) with a common minor allele, observed in most."""
    n = counts[:, :3].sum(axis=1)
    frequency = (counts[:, 1] + 2 * counts[:, 2]) / np.maximum(2 * n, 1)
    observed = (n >= (1 - _MOST_MISSING) * counts.sum(axis=1)) & (n > 0)
    return np.asarray(observed & (np.minimum(frequency, 1 - frequency) >= _LEAST_MAF))


def _spread(block: GenotypeBlock, rng: np.random.Generator) -> tuple[float, float]:
    """Median of the kinship of pairs of samples, and its standard deviation above that, of the pairs of a few hundred: most are unrelated."""
    n = block.n_samples
    some = np.arange(n) if n <= _PAIRED else np.sort(rng.choice(n, _PAIRED, replace=False))
    kinship = related_pairs(block, some, -np.inf)[0].kinship
    kinship = kinship[~np.isnan(kinship)]
    if not kinship.size:
        return 0.0, math.inf
    middle, above = np.quantile(kinship, [0.5, 0.84134])  # a standard deviation above the median of a normal law
    return float(middle), max(float(above - middle), 1e-6)


def _halves(chromosome: Int64Array) -> Int64Array:
    """0 or 1 for each variant: chromosomes by turns; of a single one its first and its second half."""
    names, counts = np.unique(chromosome, return_counts=True)
    if names.size == 1:
        return (np.arange(chromosome.size) >= chromosome.size // 2).astype(np.int64)
    sizes, half = [0, 0], {}
    for at in np.argsort(-counts, kind="stable"):  # the largest to the smaller half
        which = int(sizes[1] < sizes[0])
        half[int(names[at])] = which
        sizes[which] += int(counts[at])
    return np.array([half[int(name)] for name in chromosome], dtype=np.int64)


# What is said --------------------------------------------------------------------------------------------------------


def _way(cohort: Cohort, model: AssociationModel) -> str:
    """How the run accounts for relatives already; "" where it does not."""
    if kind_of(model) == "mixed":
        return "the mixed model's kinship accounts for them, save for samples that are there twice"
    if cohort.offsets is not None:
        return "the offsets account for them as far as they are of a whole-genome regression, save for samples that are there twice"
    return ""


def _of_relatives(found: Look, cohort: Cohort, model: AssociationModel) -> Iterator[str]:
    if not sum(found.pairs):
        return
    n = f"the {found.n_samples:,} samples analysed"
    if found.n_looked_at < found.n_samples:
        n = f"{found.n_looked_at:,} of {n}, drawn at random (seed {SEED})"
    named = [f"{count:,} of {degree}" for count, degree in zip(found.pairs, _DEGREES) if count]
    named[0] = named[0].replace(" of ", " pairs of " if named[0][:2] != "1 " else " pair of ", 1)
    way = _way(cohort, model) or (
        "tests take samples for independent, so that p values are too small. Keep one of each pair (keep_unrelated of genassoc.kinship), or account for "
        "them with offsets of a whole-genome regression (genassoc step1) or with LinearMixed"
    )
    yield f"relatives: among {n} are {_listed(named)} (by {found.n_variants:,} variants): {way}"


def _of_components(found: Look, X: Float64Array, cohort: Cohort, model: AssociationModel) -> Iterator[str]:
    components = found.components
    if not components.n:
        return
    R2 = components.held_by(X[np.array(found.samples, dtype=np.int64)])
    lacking = _HELD * components.reliability > R2
    if not lacking.any():
        return
    shown = ", ".join(f"{value:.2f}" for value in R2)
    more = ", in step 1 and here" if cohort.offsets is not None else ""
    which = "component is" if components.n == 1 else "components are"
    alone = (
        "without relatives" if found.n_degrees == 3 else "without near relatives, as far as so few variants tell them"
    )
    way = f"a trait that differs by ancestry gives p values that are too small. Give principal components (genassoc pca) as covariates{more}"
    if kind_of(model) == "mixed":
        way = "the mixed model accounts for ancestry as far as its kinship is of genotypes; of a pedigree's give principal components (genassoc pca) too"
    yield (
        f"ancestry: {components.n} leading {which} clear in {found.n_variants:,} variants of {len(found.samples):,} samples {alone}, and the covariates "
        f"hold {'none' if lacking.all() else 'not all'} of them (R2 {shown}): {way}"
    )


def _nothing(found: Look, ancestry: bool) -> str:
    """That no relatives were found, and how far that goes; and nothing of ancestry, if there is no line of it."""
    if not found.n_variants:
        return "relatives and ancestry: not looked at, too few common variants are there"
    kinds = _listed([*_DEGREES[: found.n_degrees]])
    further = _listed([*_DEGREES[found.n_degrees :]])
    untold = f"; {further} cannot be told by so few" if further and kinds else ""
    components = ""
    if found.reliability and not ancestry:
        components = f"; the covariates hold the {len(found.reliability)} leading components of ancestry"
    what = f"none of {kinds}" if kinds else "none that could be told"
    return (
        f"relatives: {what} among {found.n_looked_at:,} samples (by {found.n_variants:,} variants{untold}){components}"
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


# What is kept --------------------------------------------------------------------------------------------------------


def _cache_file(key: str) -> Path | None:
    base = base_folder()
    return None if base is None else base / _CACHED / f"{key[:40]}.json"


def _kept(file: Path, n_samples: int) -> Look | None:
    """What an earlier run found of the same samples; None where no such file is there, or it is not sound."""
    try:
        return Look.from_content(strangers.read_object(file, _MOST_BYTES), n_samples)
    except (OSError, MalformedError):
        return None


def _keep(file: Path, found: Look) -> None:
    """Keep it for the next run, where that can be; the oldest go when there are many."""
    with contextlib.suppress(OSError, GenassocError):
        file.parent.mkdir(mode=0o700, exist_ok=True)
        others = sorted(file.parent.glob("*.json"), key=lambda other: other.stat().st_mtime)
        for other in others[: max(0, len(others) - _MOST_CACHED + 1)]:
            other.unlink(missing_ok=True)
        with replacing(file) as handle:
            handle.write(json.dumps(asdict(found)).encode())

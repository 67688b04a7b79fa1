"""Samples of another cohort on principal components that are known: variants matched, scores by least squares, made good for shrinkage."""

import logging
from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.analyses.components.projection import Projection, information
from genassoc.analyses.components.standardisation import Standardisation
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import Contigs
from genassoc.data.forks import check_not_forked
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.passes import run_passes
from genassoc.engine.plan import fingerprint
from genassoc.errors import InputError
from genassoc.progress import Progress, Silent
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.component_files import ComponentFields
from genassoc.verbs.component_tables import score_table
from genassoc.verbs.component_variants import plan_of

_CHUNK = 65_536  # variants of the store whose places are read at a time
# Share of variants that fit on the other strand alone, above which nothing is to be said of A/T and C/G: a file with both strands.
_STRANDS = 0.01
log = logging.getLogger("genassoc")


@dataclass(frozen=True, eq=False)
class ProjectedScores:
    """Scores of samples that took no part in the fit.

    Attributes
    ----------
    scores : polars DataFrame (sample_id, PC1, ..., PCk)
        On the scale of the fit's; null where a sample has too few calls.
    n_matched : int
        Variants used, of ``n_loadings``.
    n_loadings : int
        Variants of the fit.
    n_swapped : int
        Of those matched, variants whose REF and ALT are exchanged: their copies were turned.
    n_ambiguous : int
        Of those found, A/T and C/G, whose strand the alleles do not tell.
    n_other_strand : int
        Variants that fit on the other strand alone: left out.
    notes : tuple of str
        All this in words.
    """

    scores: pl.DataFrame
    n_matched: int
    n_loadings: int
    n_swapped: int
    n_ambiguous: int
    n_other_strand: int
    notes: tuple[str, ...]

    def summary_lines(self) -> list[str]:
        """What was matched, in words."""
        return list(self.notes)


@dataclass(frozen=True)
class _Matches:
    """Variants of a store that loadings are of: their numbers ascending (V,), the rows of the loadings, and whether alleles are swapped."""

    numbers: Int64Array
    rows: Int64Array
    flipped: BoolArray
    n_ambiguous: int
    n_other_strand: int
    notes: tuple[str, ...]


def project(
    components: ComponentFields,
    cohort: Cohort,
    *,
    min_overlap: float = 0.5,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> ProjectedScores:
    """Scores of the samples of a cohort on known components.

    Variants are matched by place and alleles, in either order, however chromosomes are spelled; both cohorts must be of one build. Each sample's
    scores are of its observed calls (least squares), divided by the shrinkage: samples of a population of the fit lie, on average, where those
    fitted lie.

    Parameters
    ----------
    components : PrincipalComponents
    cohort : Cohort
        Its filters hold: variants they leave out are not used.
    min_overlap : float
        Least share of the fit's variants that must be found.
    executor, progress : optional

    Raises
    ------
    InputError
        Fewer are found; shows places of both sides.
    """
    check_not_forked()
    check_cohort(cohort, "project(cohort)")
    check_executor(executor)
    if not 0.0 <= min_overlap <= 1.0:
        raise InputError(f"min_overlap={min_overlap!r} is a share from 0 to 1")
    loadings = components.loadings
    matches = _matched(loadings, cohort)
    if matches.numbers.size < max(min_overlap * loadings.height, components.k):
        raise InputError(_too_few(loadings, cohort, matches, min_overlap))
    frequency = loadings["effect_allele_frequency"].to_numpy()
    weights = loadings.select(components.names).to_numpy()
    analysis = Projection(
        Standardisation.of_frequencies(matches.numbers, frequency[matches.rows], matches.flipped), weights[matches.rows]
    )
    mask = np.zeros(cohort.n_variants, dtype=bool)
    mask[matches.numbers] = True
    chosen = cohort.keep_variants(mask)
    plan = plan_of(chosen, matches.numbers, fingerprint(analysis="projection", cohort=chosen.fingerprint))
    found = run_passes(analysis, chosen, plan, executor or Threads(), progress or Silent())
    if found.rows.size < max(min_overlap * loadings.height, components.k):
        raise InputError(
            f"the cohort's filters leave {found.rows.size:,} of the {loadings.height:,} variants of the components: project without them"
        )
    scores: Float64Array = found.solved(information(weights, loadings["call_rate"].to_numpy())) / components.shrinkage
    swapped = int(matches.flipped[found.rows].sum())
    notes = list(matches.notes)
    filtered = matches.numbers.size - found.rows.size
    if filtered:
        notes.append(f"{filtered:,} of these were left out by the cohort's filters")
    if unknown := int(np.isnan(scores).any(axis=1).sum()):
        notes.append(f"{unknown:,} of {cohort.n_samples:,} samples have too few calls for a score")
    fitted = set(components.scores["sample_id"].filter(pl.Series(components.fitted)))
    if again := sum(str(name) in fitted for name in cohort.sample_ids):
        notes.append(
            f"{again:,} samples are named as samples of the fit: made good for a shrinkage that these have not, they lie farther out than "
            "its scores, which are theirs"
        )
    for note in notes:
        log.info(note)
    return ProjectedScores(
        score_table(cohort.sample_ids, scores), int(found.rows.size), loadings.height, swapped, matches.n_ambiguous,
        matches.n_other_strand, tuple(notes),
    )  # fmt: skip


def _matched(loadings: pl.DataFrame, cohort: Cohort) -> _Matches:
    """The variants of a store that have loadings; of several rows of one variant the first."""
    theirs = Contigs.of(loadings["chromosome"].unique(maintain_order=True).to_list())
    wanted = _keyed(loadings, theirs).with_row_index("row")
    parts = []
    for start in range(0, cohort.n_variants, _CHUNK):
        stop = min(start + _CHUNK, cohort.n_variants)
        here = _keyed(cohort.store.variants(start, stop), cohort.contigs).with_row_index("number", offset=start)
        parts.append(here.join(wanted, on=["key", "base_pair_location"], suffix="_fit", maintain_order="left"))
    pairs = pl.concat(parts)
    other, effect = pl.col("other_allele"), pl.col("effect_allele")
    fit_other, fit_effect = pl.col("other_allele_fit"), pl.col("effect_allele_fit")
    same, swapped = (other == fit_other) & (effect == fit_effect), (other == fit_effect) & (effect == fit_other)
    turned_other, turned_effect = _complement(other), _complement(effect)
    on_other = ((turned_other == fit_other) & (turned_effect == fit_effect)) | (
        (turned_other == fit_effect) & (turned_effect == fit_other)
    )
    single = (other.str.len_bytes() == 1) & (effect.str.len_bytes() == 1)
    pairs = pairs.with_columns(
        fits=same | swapped, swapped=swapped & ~same, ambiguous=single & (turned_other == effect), on_other=single & on_other
    )  # fmt: skip
    fitting = pairs.filter("fits").unique("row", keep="first", maintain_order=True)
    lone = pairs.filter(~pl.col("fits") & pl.col("on_other")).filter(~pl.col("row").is_in(fitting["row"].implode()))
    n_other_strand, n_ambiguous = lone["row"].n_unique(), int(fitting["ambiguous"].sum())
    notes = []
    mixed = n_other_strand > _STRANDS * max(fitting.height, 1)
    if mixed:
        fitting = fitting.filter(~pl.col("ambiguous"))
    fitting = fitting.unique("number", keep="first", maintain_order=True).sort("number")
    n_swapped = int(fitting["swapped"].sum())
    notes.append(
        f"{fitting.height:,} of the {loadings.height:,} variants of the components were found ({100 * fitting.height / loadings.height:.3g} %), "
        f"{n_swapped:,} of them with REF and ALT exchanged, whose copies were turned"
    )
    if absent := loadings.height - fitting.height - n_other_strand - (n_ambiguous if mixed else 0):
        notes.append(f"{absent:,} are not in the store, or with other alleles")
    if n_other_strand:
        notes.append(f"{n_other_strand:,} fit on the other strand alone and were left out")
    if n_ambiguous:
        done = "left out, since the store has both strands" if mixed else "taken to be on the same strand"
        notes.append(f"{n_ambiguous:,} are A/T or C/G, whose strand the alleles do not tell: {done}")
    return _Matches(
        fitting["number"].cast(pl.Int64).to_numpy(), fitting["row"].cast(pl.Int64).to_numpy(), fitting["swapped"].to_numpy(),
        n_ambiguous, n_other_strand, tuple(notes),
    )  # fmt: skip


def _keyed(variants: pl.DataFrame, contigs: Contigs) -> pl.DataFrame:
    names = {name: contigs.key(name) for name in variants["chromosome"].unique().to_list()}
    alleles = pl.col("other_allele", "effect_allele").cast(pl.String).str.to_uppercase()
    key = pl.col("chromosome").cast(pl.String).replace_strict(names, default=None, return_dtype=pl.String).alias("key")
    return variants.select(key, pl.col("base_pair_location").cast(pl.Int64), alleles)


def _complement(allele: pl.Expr) -> pl.Expr:
    """The other strand's base; of single bases."""
    return allele.replace(["A", "C", "G", "T"], ["T", "G", "C", "A"])


def _too_few(loadings: pl.DataFrame, cohort: Cohort, matches: _Matches, min_overlap: float) -> str:
    def shown(table: pl.DataFrame) -> str:
        rows = table.head(2).select("chromosome", "base_pair_location", "other_allele", "effect_allele").rows()
        return ", ".join("_".join(map(str, row)) for row in rows)

    return (
        f"{'; '.join(matches.notes)}: too few to project, where at least {100 * min_overlap:g} % are asked for (min_overlap). Are the "
        f"builds the same? The components have variants such as {shown(loadings)}; the store has {shown(cohort.store.variants(0, min(2, cohort.n_variants)))}"
    )

"""Null models of linear mixed models: the basis of each pattern of missing phenotypes, and each trait's ratio of variances."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.phenotypes.design import Design
from genassoc.data.phenotypes.kinship import Kinship
from genassoc.errors import InputError
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods.mixed import Contrasts
from genassoc.models.scan.residual_law import ResidualLaw, law_notes
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.mixed import NoVarianceError, NullFit, Rotation, fit_null, grid, rotation, weights
from genassoc.stats.ranks import normal_scores

_SPREAD = 1e-6  # of the largest: a sample with a covariate of its own has none
_PERFECT = 1e-20  # of the squares of a trait less its mean: what the covariates leave is rounding


@dataclass(frozen=True)
class MixedTrait:
    """A trait in the basis of its samples.

    Attributes
    ----------
    trait : int
        Which of the model's traits.
    fit : NullFit or None
        None where the covariates leave no variance.
    reml, ml : Contrasts
        As kernels take it; ``ml`` is without eigenvalues where the likelihood ratio is not asked for.
    of_both : float64 array (M, 2 K)
        eta times `genassoc.stats.mixed.weights`.
    scale : float
        What 1 of eta is in the trait's units.
    spread : float64 array (n,)
        How much covariates and relationships leave of each sample, that is of P y: the root of P's diagonal.
    law : ResidualLaw or None
        Of P y over its spread.
    """

    trait: int
    fit: NullFit | None
    reml: Contrasts
    ml: Contrasts
    of_both: Float64Array
    scale: float
    spread: Float64Array
    law: ResidualLaw | None


@dataclass(frozen=True, kw_only=True)
class MixedNull:
    """Traits that are observed in the same samples.

    Attributes
    ----------
    traits : int64 array (T_p,)
    n, n_covariates : int
        Samples, and independent columns of covariates with the constant.
    columns : int64 array (n,)
        Of a block.
    mask : uint64 array (W,)
    Q : float64 array (n, C)
        An orthonormal basis of the covariates.
    rotation : Rotation or None
        None where there are too few samples.
    weights : float64 array (M, 2 K)
        See `genassoc.stats.mixed.weights`.
    fits : tuple of MixedTrait
    dropped : tuple of int
        Columns of the design that are combinations of others among these samples.
    """

    traits: Int64Array
    n: int
    n_covariates: int
    columns: Int64Array
    mask: UInt64Array
    Q: Float64Array
    rotation: Rotation | None
    weights: Float64Array
    fits: tuple[MixedTrait, ...]
    dropped: tuple[int, ...]


@dataclass(frozen=True)
class MixedState:
    """The null models that all blocks share."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[MixedNull, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        n = {int(trait): null.n for null in self.nulls for trait in null.traits}
        return [n[trait] for trait in range(len(self.traits))]


def prepare(
    design: Design,
    K: Float64Array,
    block_columns: Int64Array,
    block_width: int,
    *,
    kinship: Kinship,
    whole: bool,
    ranks: bool,
) -> MixedState:
    """Null models of a design whose samples have the relationships K (N, N), which is overwritten.

    Raises
    ------
    InputError
        The relationships say nothing: all samples are alike.
    """
    nulls = []
    patterns = _patterns(design)
    for p, (traits, observed) in enumerate(patterns):
        own = K if p == len(patterns) - 1 and observed.all() else K[np.ix_(observed, observed)]
        nulls.append(
            _null(design, traits, observed, own, block_columns, block_width, kinship=kinship, whole=whole, ranks=ranks)
        )
    notes = _notes(design, nulls, kinship, whole)
    return MixedState(
        design.traits,
        block_columns,
        mask_words(block_columns, block_width),
        tuple(nulls),
        int((~design.complete).sum()),
        tuple(notes),
    )


def _patterns(design: Design) -> list[tuple[Int64Array, BoolArray]]:
    """Traits (T_p,) that are observed in the same samples, and these (bool (N,)), in the order of their first trait."""
    observed = ~np.isnan(design.y) & design.complete[:, None]
    patterns: dict[bytes, list[int]] = {}
    for trait in range(len(design.traits)):
        patterns.setdefault(np.packbits(observed[:, trait]).tobytes(), []).append(trait)
    return [(np.array(traits), observed[:, traits[0]]) for traits in patterns.values()]


def _null(
    design: Design, traits: Int64Array, observed: BoolArray, K: Float64Array, block_columns: Int64Array, block_width: int, *,
    kinship: Kinship, whole: bool, ranks: bool,
) -> MixedNull:  # fmt: skip
    columns = block_columns[observed]
    basis = orthonormal_basis(design.X[observed])
    n, C = basis.Q.shape
    dropped = tuple(int(c) for c in np.flatnonzero(~basis.kept)) if n else ()
    turned, of_grid = None, np.empty((0, 0))
    fits: list[MixedTrait] = []
    if n > C + 1:
        try:
            turned = rotation(K, basis.Q, whole)
        except NoVarianceError:
            names = ", ".join(design.traits[trait] for trait in traits)
            raise InputError(
                f"{kinship.source}: the relationships of the {n:,} samples of {names} have no variance: all pairs are alike, so that they explain "
                "nothing. Is it a matrix of these samples? Without relatives or structure use the linear model."
            ) from None
        of_grid = weights(turned.d)
        fits = [_trait(design, int(trait), observed, turned, of_grid, basis.Q, ranks) for trait in traits]
    return MixedNull(
        traits=traits, n=n, n_covariates=C, columns=columns, mask=mask_words(columns, block_width), Q=basis.Q, rotation=turned,
        weights=of_grid, fits=tuple(fits), dropped=dropped,
    )  # fmt: skip


def _trait(
    design: Design,
    trait: int,
    observed: BoolArray,
    turned: Rotation,
    of_grid: Float64Array,
    Q: Float64Array,
    ranks: bool,
) -> MixedTrait:
    y = design.y[observed, trait]
    if ranks:
        y = normal_scores(y)
    y = y - y.mean()
    offset = design.offset[observed, trait]
    if offset.any():
        unit = 1.0
        if design.offset_unit == "residual_sd":
            left = turned.T @ y
            unit = float(np.sqrt(left @ left / left.size))
        y = y - unit * offset
        y = y - y.mean()
    largest = float(np.abs(y).max())
    # Powers of two change no digit: sums of squares neither overflow nor vanish.
    scale = float(2.0 ** np.round(np.log2(largest))) if largest > 0 else 1.0
    y = y / scale
    eta = turned.T @ y
    squares = float(eta @ eta)
    none, points = np.empty(0), grid()
    empty = Contrasts(none, none, none, points, np.empty((4, 0)), 0.0, 0.0)
    if not squares > _PERFECT * float(y @ y):
        return MixedTrait(trait, None, empty, empty, np.empty((0, 0)), scale, none, None)
    fit = fit_null(turned.d, eta)
    K2 = of_grid.shape[1] // 2
    of_eta2 = (eta * eta) @ of_grid
    traces = of_grid.sum(axis=0)
    at_grid = np.stack([of_eta2[:K2], of_eta2[K2:], traces[:K2], traces[K2:]])
    reml = Contrasts(turned.d, eta, none, points, at_grid, fit.ln_ratio, 0.0)
    ml = empty
    if turned.all_d.size:
        null = fit_null(turned.d, eta, turned.all_d)
        of_all = weights(turned.all_d).sum(axis=0)
        ml = Contrasts(
            turned.d, eta, turned.all_d, points, np.stack([of_eta2[:K2], of_eta2[K2:], of_all[:K2], of_all[K2:]]), null.ln_ratio, null.log_likelihood
        )  # fmt: skip
    w = 1.0 / (np.exp(fit.ln_ratio) * turned.d + 1.0)
    spread = np.sqrt(np.einsum("mi,mi,m->i", turned.T, turned.T, w))
    left = np.divide((w * eta) @ turned.T, spread, out=np.zeros_like(spread), where=spread > _SPREAD * spread.max())
    left /= np.sqrt(float(left @ left) / left.size)
    law = ResidualLaw.of(left, design.X[observed], Q, np.eye(Q.shape[1]))
    return MixedTrait(trait, fit, reml, ml, eta[:, None] * of_grid, scale, spread, law)


def _notes(design: Design, nulls: list[MixedNull], kinship: Kinship, whole: bool) -> list[str]:
    """What there is to say of relationships, traits and covariates."""
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    if kinship.scaling is None:
        notes.append(f"relationships: {kinship.source} (digest {kinship.digest})")
    else:
        how = "scaled to variance 1" if kinship.scaling == "standardised" else "less its mean"
        of = f"all {kinship.n_variants:,}" if kinship.n_variants else "all"
        notes.append(
            f"relationships: of {of} autosomal variants of the store with a minor allele frequency of at least {kinship.maf:g} among the cohort's "
            f"samples, each {how}; missing calls take the mean"
            + ("; each autosome is tested with the relationships of the others" if kinship.loco else "")
        )
    notes.append("missing calls take the mean of the observed ones")
    for null in nulls:
        names = ", ".join(design.traits[trait] for trait in null.traits)
        for column in null.dropped:
            notes.append(
                f"covariate {design.covariates[column]} dropped for {names}: among its {null.n} complete samples "
                "it is constant or a combination of the covariates before it"
            )
        if null.rotation is not None and null.rotation.n_negative:
            notes.append(
                f"the relationships of the samples of {names} are no covariances: {null.rotation.n_negative:,} eigenvalues were negative (the least "
                f"{null.rotation.most_negative:.2g} of the largest) and count as 0"
            )
        for fit in null.fits:
            name = design.traits[fit.trait]
            if fit.fit is None:
                continue
            bound = ""
            if fit.fit.at_bound:
                bound = "; it is at the end of what is possible" + (
                    "" if fit.fit.share > 0.5 else ": relationships explain nothing of this trait"
                )
            notes.append(
                f"{name}: {fit.fit.share:.3f} of the variance goes with the relationships (standard error {fit.fit.standard_error:.3f}, REML, "
                f"{null.n:,} samples){bound}"
            )
            notes += law_notes(name, fit.law, tuple(design.covariates), mixed=True)
    return notes

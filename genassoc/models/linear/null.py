"""The null models of linear regression: traits residualised on covariates, by pattern of missing phenotypes."""

from dataclasses import dataclass, replace

import numpy as np

from genassoc.data.phenotypes.design import Design
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.genotypes.missing_calls import Lacking
from genassoc.kernels.lanes.vector import DOUBLES
from genassoc.kernels.likelihoods.linear_rows import Residuals
from genassoc.models.scan.product import ThinMatrix
from genassoc.models.scan.residual_law import ResidualLaw
from genassoc.models.scan.set_null import SetNull
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.ranks import normal_scores

# A pattern shares the cohort's covariates unless it lacks more than this share of their samples (then columns of its
# own cost less than what is subtracted), or they keep less than this share of a direction without those samples (then
# differences would cost digits). Both depend on the pattern and the cohort alone, never on other traits.
MOST_LACKING = 1 / 3
LEAST_DIRECTION = 0.25


@dataclass(frozen=True)
class Choices:
    """The rules of a run, every default of `genassoc.models.linear.model.Linear` resolved.

    Attributes
    ----------
    impute : bool
        Missing calls take the mean.
    min_mac : float
        Minor alleles below which a row has no estimate.
    like : {None, "plink2", "regenie"}
    robust_above : float
        Minor allele count above which the variances of an interaction are HC3's: REGENIE's, or infinity for none.
    """

    impute: bool
    min_mac: float
    like: str | None = None
    robust_above: float = np.inf

    @property
    def gate(self) -> bool:
        """Whether an interaction needs carriers in each arm."""
        return self.like != "plink2"

    @property
    def check_tails(self) -> bool:
        """Whether rows with few carriers and heavy-tailed residuals are tested by the residuals' distribution, or have no estimate."""
        return self.like is None


@dataclass(frozen=True, kw_only=True)
class NullModel:
    """Traits that are observed in the same samples, residualised on the covariates.

    Attributes
    ----------
    traits : int64 array (T_p,)
        Which of the model's traits.
    n : int
        Samples with these traits and all covariates.
    columns : int64 array (n,)
        Their columns in a block.
    mask : uint64 array (W,)
        The same as packed words.
    Q : float64 array (N, C)
        Covariates, the constant first: independent among these samples, orthonormal among those of the `NullGroup`.
    R : float64 array (N, T_p)
        Residuals scaled to mean square 1, zero for other samples.
    scale : float64 array (T_p,)
        What a residual of 1 is in trait units.
    rss : float64 array (T_p,)
        Sum of squared scaled residuals; 0 where the covariates leave no variance.
    gram : float64 array (C, C)
        Q'Q over these samples.
    dropped : tuple of int
        Columns of the design that are combinations of others among these samples.
    laws : tuple of ResidualLaw or None
        Of each trait's residuals.
    """

    traits: Int64Array
    n: int
    columns: Int64Array
    mask: UInt64Array
    Q: Float64Array
    R: Float64Array
    scale: Float64Array
    rss: Float64Array
    gram: Float64Array
    dropped: tuple[int, ...]
    laws: tuple[ResidualLaw | None, ...]

    def with_own_basis(self) -> "NullModel":
        """The same with covariates that are orthonormal among these samples: ``gram`` is I."""
        Q = np.zeros_like(self.Q)
        Q[self.columns] = np.linalg.solve(np.linalg.cholesky(self.gram), self.Q[self.columns].T).T
        return replace(self, Q=Q, R=np.ascontiguousarray(self.R), gram=np.eye(len(self.gram)))

    def set_null(self) -> SetNull:
        """Residuals in units of the traits, over the variance of n - C degrees of freedom: as R's SKAT, and the score test."""
        own = self.with_own_basis() if self.n else self
        C, weight = len(self.gram), np.zeros(self.Q.shape[0])
        weight[self.columns] = 1.0
        freedom = float(self.n - C)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(self.rss > 0, freedom / (self.scale**2 * self.rss), np.nan)
        return SetNull.of(
            self.traits.tolist(), self.columns, own.Q, self.R * self.scale, weight, scale=scale, freedom=freedom,
            failure="n_too_small" if self.n <= C else None, strata=self._spreads(),
        )  # fmt: skip

    def _spreads(self) -> Float64Array | None:
        """How much each sample's residual varies (T_p, N), where that differs with a covariate."""
        if not any(law is not None and law.spread.size for law in self.laws):
            return None
        spreads = np.zeros((self.traits.size, self.Q.shape[0]))
        for of_trait, law in zip(spreads, self.laws):
            if law is not None and law.spread.size:
                of_trait[self.columns] = law.spread
        return spreads


@dataclass(frozen=True)
class NullGroup:
    """Null models that share one basis of the covariates, laid out for the kernels; T traits, P patterns.

    Attributes
    ----------
    nulls : tuple of NullModel
        P of them.
    traits : int64 array (T,)
        Which of the model's traits, in the order of the columns here.
    columns, mask, n
        As of `NullModel`, of the samples that the basis is orthonormal over.
    residuals : Residuals
        The basis and the residuals of all traits as `genassoc.kernels.likelihoods.linear_rows.finish` takes them.
    matrix : ThinMatrix
        The covariates without the constant, then the residuals.
    lacking_mask : uint64 array (W,)
        Samples of the basis that lack any trait.
    """

    nulls: tuple[NullModel, ...]
    traits: Int64Array
    columns: Int64Array
    mask: UInt64Array
    n: int
    residuals: Residuals
    matrix: ThinMatrix
    lacking_mask: UInt64Array


@dataclass(frozen=True)
class LinearState:
    """The null models that all blocks share.

    Attributes
    ----------
    n_incomplete : int
        Samples of the cohort that lack a covariate: in no row.
    notes : tuple of str
        For people: which covariates were dropped, for which traits.
    """

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    groups: tuple[NullGroup, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def nulls(self) -> tuple[NullModel, ...]:
        """All null models, in the order of their first trait."""
        return tuple(sorted((null for group in self.groups for null in group.nulls), key=lambda null: null.traits[0]))

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        n = {int(trait): null.n for null in self.nulls for trait in null.traits}
        return [n[trait] for trait in range(len(self.traits))]

    def set_nulls(self) -> tuple[SetNull, ...]:
        """What the nulls say of sets of variants, one for each pattern of missing phenotypes."""
        return tuple(null.set_null() for null in self.nulls)


@dataclass(frozen=True)
class _Samples:
    """Some samples of a design (bool (n,)), and a basis of its covariates among them as rows of a block (N, C)."""

    observed: BoolArray
    columns: Int64Array
    Q: Float64Array
    dropped: tuple[int, ...]

    @classmethod
    def of(cls, design: Design, observed: BoolArray, block_columns: Int64Array, block_width: int) -> "_Samples":
        basis = orthonormal_basis(design.X[observed])
        columns = block_columns[observed]
        Q = np.zeros((block_width, basis.Q.shape[1]))
        Q[columns] = basis.Q
        dropped = tuple(int(c) for c in np.flatnonzero(~basis.kept)) if columns.size else ()
        return cls(observed, columns, Q, dropped)


def prepare(design: Design, block_columns: Int64Array, block_width: int, rank_normalise: bool = False) -> LinearState:
    """Residualise every trait of the design on its own complete cases and lay out the thin matrices."""
    everyone = _Samples.of(design, design.complete, block_columns, block_width)
    sharing: list[NullModel] = []
    groups: list[NullGroup] = []
    for traits, observed in _patterns(design):
        samples, gram = everyone, _shared_gram(everyone, observed, block_columns)
        if gram is None:
            samples = _Samples.of(design, observed, block_columns, block_width)
            gram = np.eye(samples.Q.shape[1])
        null = _fit_null(design, traits, observed, samples, gram, block_columns, rank_normalise)
        if samples is everyone:
            sharing.append(null)
        else:
            groups.append(group_of([null], samples.columns, samples.Q))
    if sharing:
        groups.insert(0, group_of(sharing, everyone.columns, everyone.Q))
    cohort_mask = mask_words(block_columns, block_width)
    n_incomplete = int((~design.complete).sum())
    state = LinearState(design.traits, block_columns, cohort_mask, tuple(groups), n_incomplete, ())
    return replace(state, notes=null_notes(design, state.nulls))


def nulls_by_pattern(
    design: Design, block_columns: Int64Array, block_width: int, rank_normalise: bool = False
) -> tuple[NullModel, ...]:
    """The null model of every pattern of missing phenotypes, each with a basis of its own: ``gram`` is I."""
    nulls = []
    for traits, observed in _patterns(design):
        samples = _Samples.of(design, observed, block_columns, block_width)
        gram = np.eye(samples.Q.shape[1])
        nulls.append(_fit_null(design, traits, observed, samples, gram, block_columns, rank_normalise))
    return tuple(nulls)


def _patterns(design: Design) -> list[tuple[Int64Array, BoolArray]]:
    """Traits (T_p,) that are observed in the same samples, and these (bool (N,)), in the order of their first trait."""
    observed = ~np.isnan(design.y) & design.complete[:, None]
    patterns: dict[bytes, list[int]] = {}
    for trait in range(len(design.traits)):
        patterns.setdefault(np.packbits(observed[:, trait]).tobytes(), []).append(trait)
    return [(np.array(traits), observed[:, traits[0]]) for traits in patterns.values()]


def _shared_gram(everyone: _Samples, own: BoolArray, block_columns: Int64Array) -> Float64Array | None:
    """Q'Q of the cohort's basis over a pattern's samples; None where the pattern needs a basis of its own."""
    without = everyone.Q[block_columns[everyone.observed & ~own]]
    if len(without) > MOST_LACKING * everyone.columns.size:
        return None
    C = everyone.Q.shape[1]
    gram = np.eye(C) - without.T @ without
    try:
        # Not by `factor_lanes`, which only `finish` calls: a kernel that Python calls too is compiled twice.
        weakest = np.diag(np.linalg.cholesky(gram)).min() ** 2
    except np.linalg.LinAlgError:
        return None
    return gram if weakest >= LEAST_DIRECTION else None


def _lanes(grams: list[Float64Array]) -> Float64Array:
    """Lower triangles (C, C) of several traits as `genassoc.kernels.likelihoods.linear_rows.factor_lanes` takes them, padded with I."""
    C = len(grams[0])
    padded = np.stack([*grams, *[np.eye(C)] * (-len(grams) % DOUBLES)])
    triangles = padded[:, *np.tril_indices(C)]
    return np.ascontiguousarray(triangles.reshape(-1, DOUBLES, triangles.shape[1]).transpose(0, 2, 1)).reshape(
        len(padded) // DOUBLES, -1
    )


def _fit_null(
    design: Design,
    traits: Int64Array,
    observed: BoolArray,
    samples: _Samples,
    gram: Float64Array,
    block_columns: Int64Array,
    rank_normalise: bool,
) -> NullModel:
    columns = block_columns[observed]
    Q = samples.Q[columns]
    n, C = Q.shape
    R = np.zeros((samples.Q.shape[0], traits.size))
    scale, rss = np.ones(traits.size), np.zeros(traits.size)
    for j, trait in enumerate(traits):
        # One trait at a time: a product with several columns rounds differently for different companies.
        y = design.y[observed, trait]
        if rank_normalise and n:
            y = normal_scores(y)
        y = without_offset(y, design.offset[observed, trait], design.offset_unit, Q, gram)
        # Powers of two change no digit: sums of squares neither overflow nor vanish.
        unit = 2.0 ** np.round(np.log2(np.abs(y).max())) if n and np.abs(y).max() > 0 else 1.0
        y = y / unit
        centred = y - y.mean() if n else y
        residual = centred - Q @ np.linalg.solve(gram, Q.T @ centred)
        residual -= Q @ np.linalg.solve(gram, Q.T @ residual)
        squares = float(residual @ residual)
        if n > C and squares > 1e-20 * float(centred @ centred):
            scale[j] = np.sqrt(squares / n)
            R[columns, j] = residual / scale[j]
            rss[j] = n
            scale[j] *= unit
    mask = mask_words(columns, samples.Q.shape[0])
    X = design.X[observed]
    laws = tuple(ResidualLaw.of(np.ascontiguousarray(R[columns, j]), X, Q, gram) for j in range(traits.size))
    return NullModel(
        traits=traits, n=n, columns=columns, mask=mask, Q=samples.Q, R=R, scale=scale, rss=rss, gram=gram,
        dropped=samples.dropped, laws=laws,
    )  # fmt: skip


def without_offset(
    y: Float64Array, offset: Float64Array, unit: str, Q: Float64Array, gram: Float64Array
) -> Float64Array:
    """y (n,) less its offset, which is in units of y, or in standard deviations of its residuals on the covariates Q (n, C)."""
    if not offset.any():
        return y
    if unit == "residual_sd":
        n, C = Q.shape
        residual = y - y.mean()
        residual = residual - Q @ np.linalg.solve(gram, Q.T @ residual)
        offset = offset * np.sqrt(residual @ residual / (n - C)) if n > C else offset
    return y - offset


def group_of(nulls: list[NullModel], columns: Int64Array, basis: Float64Array) -> NullGroup:
    """Lay out null models of one basis (N, C), orthonormal over the samples ``columns``."""
    block_width, C = basis.shape
    traits = np.concatenate([null.traits for null in nulls])
    pattern_of = np.repeat(np.arange(len(nulls)), [null.traits.size for null in nulls])
    Q = np.zeros((block_width, C + -C % DOUBLES))
    Q[:, :C] = basis
    R = np.zeros((block_width, traits.size + -traits.size % DOUBLES))
    R[:, : traits.size] = np.hstack([null.R for null in nulls])
    at = np.cumsum([0, *(null.traits.size for null in nulls)])
    nulls = [replace(null, Q=Q[:, :C], R=R[:, a:b]) for null, a, b in zip(nulls, at, at[1:])]
    lacking = np.zeros((block_width, len(nulls)), np.bool_)
    for p, null in enumerate(nulls):
        lacking[columns, p] = True
        lacking[null.columns, p] = False
    return NullGroup(
        nulls=tuple(nulls),
        traits=traits,
        columns=columns,
        mask=mask_words(columns, block_width),
        n=columns.size,
        residuals=Residuals(
            Q=Q,
            R=R,
            gram=_lanes([nulls[p].gram for p in pattern_of]),
            rss=np.concatenate([null.rss for null in nulls]),
            n_of=np.array([nulls[p].n for p in pattern_of]),
            pattern_of=pattern_of,
            lacks=_lacking(lacking),
            constant=1.0 / float(np.sqrt(max(columns.size, 1))),
        ),
        matrix=ThinMatrix.of(np.hstack([basis[:, 1:], R[:, : traits.size]]), packed_bytes(block_width)),
        lacking_mask=mask_words(np.flatnonzero(lacking.any(axis=1)), block_width),
    )


def _lacking(lacking: BoolArray) -> Lacking:
    """The patterns that each sample lacks, of bool (N, P)."""
    pointers = np.concatenate([[0], np.cumsum(lacking.sum(axis=1))])
    # Vector loops want one number after the other, which the halves of numpy's pairs are not.
    return Lacking(pointers, np.ascontiguousarray(np.nonzero(lacking)[1]))


def null_notes(design: Design, nulls: tuple[NullModel, ...]) -> tuple[str, ...]:
    """Covariates that were dropped, and for which traits."""
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    for null in nulls:
        names = ", ".join(design.traits[trait] for trait in null.traits)
        for column in null.dropped:
            notes.append(
                f"covariate {design.covariates[column]} dropped for {names}: among its {null.n} complete samples "
                "it is constant or a combination of the covariates before it"
            )
    return tuple(notes)

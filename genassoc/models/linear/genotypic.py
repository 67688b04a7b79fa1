"""The genotypic model of linear regression: exact from sums in float64, missing calls downdated."""

import numpy as np

from genassoc.data.block import Block, GenotypeBlock
from genassoc.kernels.genotypes.counts import count_codes
from genassoc.kernels.likelihoods import genotypic as kernel
from genassoc.models.base import BlockResult
from genassoc.models.linear.null import LinearState, NullModel
from genassoc.models.linear.residual_law import withhold_heavy
from genassoc.models.scan.genetic_models import recoded
from genassoc.models.scan.product import ThinMatrix, minor_counts
from genassoc.models.scan.sums import GenotypeSums, genotype_sums
from genassoc.models.scan.tested import GENOTYPIC, Classes, as_rows, for_tests, with_genotypes
from genassoc.shapes import Array, Float64Array
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.tails import neg_log_10_p_f, neg_log_10_p_t, t_quantile_975

CODES: tuple[str | None, ...] = (
    None, "collinear", "n_too_small", "covariate_collinear", "no_residual_variance", "monomorphic", "constant_genotype",
    "too_few_carriers", "perfect_fit", "heavy_tails",
)  # fmt: skip
METHODS: tuple[str | None, ...] = (None, "t", "f")
ADD, DOMDEV, JOINT = 0, 1, 2
# From (b_het, b_hom) to (add, domdev).
CONTRAST = np.array([[0.0, 0.5], [1.0, -0.5]])
_COLLINEAR = 1e-14  # of a squared length, as R's lm: 1e-7 of the length
_ROUNDING = 1e-24


def test_block(least_mac: float, like: str | None, state: LinearState, block: Block) -> BlockResult:
    """V x T x 3 rows; those of fewer minor alleles than ``least_mac`` have no estimate.

    With ``like`` "plink2" F has n degrees of freedom in the denominator, as PLINK 2 counts them, in place of n - C - 2. Without a
    ``like`` rows whose rarer genotype is too rare for the tails of the residuals have no estimate.

    Raises
    ------
    TypeError
        The block holds dosages: a genotype is not known there.
    """
    block = with_genotypes(block)
    shape = (block.n_variants, len(state.traits), 3)
    columns: dict[str, Array] = {
        name: np.full(shape, np.nan)
        for name in (
            "beta", "standard_error", "ci_lower", "ci_upper", "effect_allele_frequency", "neg_log_10_p_value", "mac",
            "missing_rate", "statistic",
        )
    }  # fmt: skip
    columns |= {"n": np.zeros(shape, np.int64)}
    columns |= {name: np.zeros(shape, np.uint8) for name in ("method", "code")}
    unflipped = np.zeros(block.n_variants, dtype=bool)
    for null in state.nulls:
        own = genotype_sums(block, unflipped, null.columns, null.mask)
        for position, rows in _of_pattern(least_mac, like, null, block, own):
            for name, values in rows.items():
                columns[name][:, null.traits[position]] = values
    return as_rows(state.traits, GENOTYPIC.tests, columns, {"method": METHODS, "code": CODES})


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_pattern(
    least_mac: float, like: str | None, null: NullModel, block: GenotypeBlock, own: GenotypeSums
) -> list[tuple[int, dict[str, Array]]]:
    """Position in the pattern and rows (V, 3) of each trait."""
    # Orthonormal over this pattern's samples, zero for others, whatever basis the null shares with other patterns.
    basis = orthonormal_basis(null.Q[null.columns]).Q
    Q, R = np.zeros((null.Q.shape[0], basis.shape[1])), np.zeros((null.R.shape[0], null.traits.size))
    Q[null.columns], R[null.columns] = basis, null.R[null.columns][:, : null.traits.size]
    V, C, T = block.n_variants, Q.shape[1], R.shape[1]
    counts = np.empty((V, 4), np.int64)
    count_codes(block.packed.view(np.uint64), null.mask, counts)
    classes = Classes(counts)
    sums, numbers, ill = np.empty((2, V, C + T)), np.empty((V, T, kernel.N_NUMBERS)), np.zeros((V, T), np.uint8)
    Q = _own_basis(null)
    thin = np.hstack([Q, null.R])
    for which, name in enumerate(("hetonly", "recessive")):
        sums[which] = 0.5 * sums_in_float64(recoded(block, name), thin)
    kernel.genotypic_rows(counts, sums, own.pointers, own.indices, Q, null.R, null.rss, null.n, numbers, ill)
    found = []
    for t in range(T):
        code = np.zeros(V, np.uint8)
        taken = np.zeros(V, dtype=bool)
        for bad, reason in classes.without_estimate(own.mac, least_mac, C + 2):
            code[bad & ~taken] = CODES.index(reason)
            taken |= bad
        df = (own.n - C - 2).astype(np.float64)
        for v in np.flatnonzero((ill[:, t] > 0) & ~taken):
            df[v], found_out = _dense(block, null, t, int(v), numbers[v, t])
            code[v] = CODES.index(found_out)
        rows = _rows(null, t, own, numbers[:, t], df, own.n if like == "plink2" else df, code)
        if like is None:
            rarer = np.minimum(counts[:, 1], np.minimum(counts[:, 0], counts[:, 2]))
            withhold_heavy(rows, null.laws[t], rarer, CODES.index("heavy_tails"))
        found.append((t, rows))
    return found


def _own_basis(null: NullModel) -> Float64Array:
    """The covariates orthonormal among the pattern's own samples, zero for others: (N, C), the constant first."""
    Q = np.zeros(null.Q.shape)
    Q[null.columns] = np.linalg.solve(np.linalg.cholesky(null.gram), null.Q[null.columns].T).T
    return Q


def sums_in_float64(block: Block, thin: Float64Array) -> Float64Array:
    """Codes of a block of genotypes times columns (N, K), sample after sample in float64: (V, K)."""
    assert isinstance(block, GenotypeBlock)
    V = block.n_variants
    matrix = ThinMatrix(thin, (), np.zeros(0, np.float32))
    return matrix.times_in_float64(block, np.zeros(V, dtype=bool), np.arange(V))


def _dense(block: GenotypeBlock, null: NullModel, t: int, v: int, numbers: Float64Array) -> tuple[float, str | None]:
    """Fit one row on its complete cases into ``numbers``; its degrees of freedom and code."""
    g = minor_counts(block, np.zeros(block.n_variants, dtype=bool), np.array([v]), null.columns)[0]
    at = ~np.isnan(g)
    columns, g = null.columns[at], g[at]
    basis = orthonormal_basis(null.Q[columns])
    df = float(g.size - basis.Q.shape[1] - 2)
    numbers[:] = np.nan
    if df < 1:
        return df, "n_too_small"
    D, y = np.column_stack([g == 1, g == 2]).astype(np.float64), null.R[columns, t]
    lengths = ((D - D.mean(axis=0)) ** 2).sum(axis=0)
    left, rest = D - D.mean(axis=0), y - y.mean()
    for _ in range(2):
        left, rest = left - basis.Q @ (basis.Q.T @ left), rest - basis.Q @ (basis.Q.T @ rest)
    if rest @ rest <= _ROUNDING * (y @ y):
        return df, "no_residual_variance"
    q, r = np.linalg.qr(left)
    if (np.diag(r) ** 2 <= _COLLINEAR * lengths).any():
        return df, "collinear"
    beta = np.linalg.solve(r, q.T @ rest)
    residual = rest - left @ beta
    if residual @ residual <= _ROUNDING * (rest @ rest):
        return df, "perfect_fit"
    variance = float(residual @ residual) / df
    inverse = np.linalg.inv(r)
    covariance = variance * inverse @ inverse.T
    explained = float(((q.T @ rest) ** 2).sum())
    numbers[:] = (*beta, covariance[0, 0], covariance[0, 1], covariance[1, 1], 0.5 * explained / variance)
    return df, None if basis.kept.all() else "covariate_collinear"


def _rows(
    null: NullModel, t: int, own: GenotypeSums, numbers: Float64Array, df: Float64Array, df_f: Array, code: Array
) -> dict[str, Array]:
    """The three rows of each variant for one trait."""
    fine = np.isin(code, [CODES.index(None), CODES.index("covariate_collinear")])
    numbers = np.where(fine[:, None], numbers, np.nan)
    het_hom = numbers[:, [kernel.HET, kernel.HOM]] * null.scale[t]
    two_by_two = np.array([[kernel.VAR_HET, kernel.COVARIANCE], [kernel.COVARIANCE, kernel.VAR_HOM]])
    covariance = numbers[:, two_by_two]
    nothing = np.full((own.n.size, 1), np.nan)
    beta = np.hstack([het_hom @ CONTRAST.T, nothing])
    variance = np.einsum("ia,vab,ib->vi", CONTRAST, covariance, CONTRAST)
    error = np.hstack([np.sqrt(variance) * null.scale[t], nothing])
    statistic = beta / error
    statistic[:, JOINT] = numbers[:, kernel.F]
    freedom = np.where(df >= 1, df, np.nan)
    logp = np.empty((own.n.size, 3))
    logp[:, :JOINT] = neg_log_10_p_t(statistic[:, :JOINT], np.repeat(freedom[:, None], 2, axis=1))
    logp[:, JOINT] = neg_log_10_p_f(statistic[:, JOINT], 2, np.where(df >= 1, df_f, np.nan))
    half = for_tests(t_quantile_975(freedom), 3) * error
    method = np.zeros((own.n.size, 3), np.uint8)
    method[np.ix_(np.flatnonzero(fine), np.array([ADD, DOMDEV]))] = METHODS.index("t")
    method[fine, JOINT] = METHODS.index("f")
    return {
        "beta": beta,
        "standard_error": error,
        "ci_lower": beta - half,
        "ci_upper": beta + half,
        "statistic": statistic,
        "neg_log_10_p_value": logp,
        "method": method,
        "effect_allele_frequency": for_tests(own.frequency, 3),
        "mac": for_tests(own.mac, 3),
        "missing_rate": for_tests(1.0 - own.n / max(null.n, 1), 3),
        "n": for_tests(own.n, 3),
        "code": for_tests(code, 3),
    }

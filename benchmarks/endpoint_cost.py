"""What a variant costs in each model's screen, beside linear regression with as many columns in its product.

    python benchmarks/endpoint_cost.py [--samples 10000] [--variants 4000] [--missing 0.005]

One thread, CPU time a variant; covariates: 4. Nothing is refitted: what refits cost is in the sections of the models.

"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from cox_cost import COVARIATES, endpoints, traits
from logistic_cost import cpu_seconds
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.lanes.vector import LANES
from genassoc.models.cox import family as cox_null
from genassoc.models.cox.model import Cox
from genassoc.models.linear import null as linear_null
from genassoc.models.linear.model import Linear
from genassoc.models.logistic import family as logistic_null
from genassoc.models.logistic.model import Logistic
from genassoc.models.ordinal import family as ordinal_null
from genassoc.models.ordinal.model import Ordinal
from genassoc.models.poisson import family as poisson_null
from genassoc.models.poisson.model import Poisson

SECTION = "## What a variant costs in each model"
NOT_OBSERVED = 3


def drawn(N: int, V: int, missing: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Codes (V, N), frequencies uniform from 0.01 to 0.5, a share of them missing, and covariates (N, C)."""
    rng = np.random.default_rng(seed)
    codes = rng.binomial(2, rng.uniform(0.01, 0.5, V)[:, None], (V, N)).astype(np.uint8)
    codes[rng.random((V, N)) < missing] = NOT_OBSERVED
    return codes, rng.standard_normal((N, COVARIATES))


def models(X: np.ndarray, seed: int = 1) -> dict[str, tuple[Any, Any]]:
    """Each model, screen only (no row is refined or corrected), and its state."""
    rng = np.random.default_rng(seed)
    N = len(X)
    at, eta = np.arange(N), X @ np.full(COVARIATES, 0.2)
    counts = rng.poisson(np.exp(eta) * rng.gamma(1.0, 1.0, N))[:, None].astype(float)
    levels = np.searchsorted([-1.5, 0.0, 1.5], eta + rng.logistic(size=N))[:, None].astype(float)
    binary = (rng.random(N) < 1 / (1 + np.exp(1.4 - eta)))[:, None].astype(float)
    time = np.ceil(rng.exponential(np.exp(-eta)) * N / 4)[:, None]
    survival = endpoints(time, rng.random((N, 1)) < 0.5, X)
    words = traits(levels, X)
    words.coding = (" < ".join("0123"),)
    return {
        "logistic": (Logistic("y0", correct_below=0.0, min_mac=0), logistic_null.prepare(traits(binary, X), at, N)),
        "Poisson": (
            Poisson("y0", correction=None, correct_below=0.0),
            poisson_null.prepare(traits(counts, X), None, at, N, True),
        ),
        "ordinal, 4 levels": (
            Ordinal("y0", correction=None, correct_below=0.0),
            ordinal_null.prepare(words, at, N),
        ),
        "Cox": (Cox("t", "event_0", correction=None), cox_null.prepare(survival, at, N)),
    }


def without_refits(function: Callable[[], Any]) -> Callable[[], Any]:
    """The same with rows left as the product has them: nothing is done one by one."""
    import genassoc.models.scan.screen as screen

    def run() -> Any:
        climb = screen._do_step
        screen._do_step = lambda *_: None
        try:
            return function()
        finally:
            screen._do_step = climb

    return run


def linear_cost(X: np.ndarray, n_columns: int, block: GenotypeBlock) -> float:
    """Seconds a block of linear regression with so many columns in its product."""
    rng = np.random.default_rng(2)
    y = rng.standard_normal((len(X), n_columns - COVARIATES))
    state = linear_null.prepare(traits(y, X), np.arange(len(X)), len(X))
    model = Linear(state.traits)
    return cpu_seconds(lambda: model.block(state, block))


def measure(N: int, V: int, missing: float) -> list[str]:
    """The lines of the section."""
    codes, X = drawn(N, V, missing)
    block = GenotypeBlock.from_codes(codes)
    lines = [
        SECTION, "", f"`cd benchmarks && python endpoint_cost.py --samples {N} --variants {V} --missing {missing}`", "",
        f"{N:,} samples, {V:,} variants, {100 * missing:g} % of calls missing, {COVARIATES} covariates, one trait, one thread; CPU time "
        f"a variant of the screen: product, scores, columns of the results. A product is of {LANES} columns at a time, and the squares take "
        "one more; linear regression has as many traits as fill the same columns.", "",
        "| model | columns of g and of g^2 | columns computed | us a variant | linear, same columns | ratio |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    linear: dict[int, float] = {}
    for name, (model, state) in models(X).items():
        K = state.matrix.columns.shape[1]
        widths = [matrix.columns.shape[1] for matrix in (state.matrix, state.squares)]
        computed = sum(width + -width % LANES for width in widths)
        if computed not in linear:
            linear[computed] = linear_cost(X, computed, block) / V
        seconds = cpu_seconds(without_refits(lambda: model.block(state, block))) / V  # noqa: B023 - run at once
        base = linear[computed]
        lines.append(
            f"| {name} | {K} + 1 | {computed} | {1e6 * seconds:,.1f} | {1e6 * base:,.1f} | {seconds / base:.2f} |"
        )
    one = linear_cost(X, COVARIATES + 1, block) / V
    lines += [
        f"| linear, one trait | {COVARIATES + 1} | {LANES} | {1e6 * one:,.1f} | | |",
        "",
    ]
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=4000)
    parser.add_argument("--missing", type=float, default=0.005)
    chosen = parser.parse_args()
    with threadpool_limits(1):
        lines = measure(chosen.samples, chosen.variants, chosen.missing)
    print("\n".join(lines))


if __name__ == "__main__":
    main()

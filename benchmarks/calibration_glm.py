"""Calibration of `Poisson` and `Ordinal` under the null: how often p <= alpha, over alpha, by minor allele count.

    python benchmarks/calibration_glm.py [--variants 4000] [--traits 10] [--seed 1] [--case NAME]

Outcomes depend on two covariates alone, genotypes are drawn anew for each trait. One thread.
"""

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.models.base import CODES
from genassoc.models.ordinal import family as ordinal_null
from genassoc.models.ordinal.model import Ordinal
from genassoc.models.poisson import family as poisson_null
from genassoc.models.poisson.model import Poisson

N = 2000
ALPHAS = (0.05, 1e-2, 1e-3, 1e-4)
BINS = {
    "MAC 5-9": (5, 9),
    "MAC 10-19": (10, 19),
    "MAC 20-49": (20, 49),
    "MAF 1.25-5 %": (50, 200),
    "MAF 5-50 %": (201, N),
}
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def counts(mean: float, shape: float | None) -> Draw:
    """Counts of a mean; with ``shape`` their rates differ by a gamma of that shape."""

    def draw(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
        rate = mean * np.exp(0.3 * x[:, 0] - 0.045)
        return rng.poisson(rate if shape is None else rate * rng.gamma(shape, 1 / shape, len(x))).astype(float)

    return draw


def levels(*shares: float) -> Draw:
    """Levels of proportional odds, the shares those of the levels below each threshold at the mean covariate."""

    def draw(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
        cuts = np.log(np.array(shares) / (1 - np.array(shares)))
        return np.searchsorted(cuts, 0.3 * x[:, 0] + rng.logistic(size=len(x))).astype(float)

    return draw


CASES: dict[str, tuple[str, Draw]] = {
    "Poisson, mean 3": ("poisson", counts(3.0, None)),
    "overdispersed, mean 3, dispersion 4": ("poisson", counts(3.0, 1.0)),
    "Poisson, mean 0.1": ("poisson", counts(0.1, None)),
    "overdispersed, mean 0.3, dispersion 2": ("poisson", counts(0.3, 0.15)),
    "levels 50, 30, 15, 5 %": ("ordinal", levels(0.5, 0.8, 0.95)),
    "levels 90, 8, 1.5, 0.5 %": ("ordinal", levels(0.9, 0.98, 0.995)),
}
MODELS: dict[str, dict[str, Any]] = {
    "poisson": {
        "score": Poisson("y", correction=None),
        "wald": Poisson("y", correction="wald"),
        "lrt": Poisson("y", correction="lrt"),
        "spa": Poisson("y", correction="spa"),
    },
    "ordinal": {
        "score": Ordinal("y", correction=None),
        "wald": Ordinal("y", correction="wald"),
        "lrt": Ordinal("y"),
    },
}


def design_of(y: np.ndarray, x: np.ndarray) -> SimpleNamespace:
    """What the null models read of a design."""
    return SimpleNamespace(
        y=y[:, None], X=np.column_stack([np.ones(len(x)), x]), traits=("y",), covariates=("intercept", "a", "b"),
        complete=np.ones(len(x), bool), dropped_covariates=(), offset=np.zeros((y.size, 1)), offset_unit="trait", coding=(" < ".join("01234"),),
    )  # fmt: skip


def genotypes(rng: np.random.Generator, low: int, high: int, n_variants: int) -> GenotypeBlock:
    """Variants whose minor allele counts are spread over a bin."""
    mac = rng.integers(low, high + 1, n_variants)
    codes = np.zeros((n_variants, N), np.uint8)
    for v in range(n_variants):
        carriers = rng.choice(2 * N, mac[v], replace=False) // 2
        np.add.at(codes[v], carriers, 1)
    return GenotypeBlock.from_codes(codes)


def sizes(case: str, n_variants: int, n_traits: int, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """For each bin and test: counts of p <= each alpha, and of tests; by test, then of rows without a code."""
    kind, draw = CASES[case]
    prepare = poisson_null.prepare if kind == "poisson" else ordinal_null.prepare
    found = {f"{name}, {test}": np.zeros(len(ALPHAS) + 1) for name in BINS for test in MODELS[kind]}
    found |= {f"{name}, lrt without code": np.zeros(len(ALPHAS) + 1) for name in BINS}
    rng = np.random.default_rng([seed, list(CASES).index(case)])
    for _ in range(n_traits):
        x = np.column_stack([rng.standard_normal(N), rng.random(N) < 0.5])
        design = design_of(draw(rng, x), x)
        extra = (None,) if kind == "poisson" else ()
        state = prepare(design, *extra, np.arange(N), N, *((True,) if kind == "poisson" else ()))
        for name, (low, high) in BINS.items():
            block = genotypes(rng, low, high, n_variants)
            for test, model in MODELS[kind].items():
                columns = model.block(state, block).columns
                p, code = 10.0 ** -columns["neg_log_10_p_value"][:, 0], columns["code"][:, 0]
                _count(found[f"{name}, {test}"], p)
                if test == "lrt":
                    _count(found[f"{name}, lrt without code"], p[code == CODES.index(None)])
    return found


def _count(into: np.ndarray, p: np.ndarray) -> None:
    p = p[np.isfinite(p)]
    into += [*((p <= alpha).sum() for alpha in ALPHAS), p.size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=4000)
    parser.add_argument("--traits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", action="append", choices=list(CASES), help="some of the cases; all by default")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        for case in chosen.case or CASES:
            print(
                f"\n{case}\n\n| | tests | {' | '.join(f'{alpha:g}' for alpha in ALPHAS)} |\n|---|---|---|---|---|---|"
            )
            for row, n in sizes(case, chosen.variants, chosen.traits, chosen.seed).items():
                ratios = " | ".join(f"{k / (n[-1] * alpha):.2f}" if n[-1] else "" for k, alpha in zip(n, ALPHAS))
                print(f"| {row} | {n[-1]:.0f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()

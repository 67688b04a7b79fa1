"""Screens of several tested columns beside fits of every row: what they lose, and whether p is uniform under the null.

    python benchmarks/calibration_screens.py [--repeats 40] [--seed 1] [--model NAME]

Cohorts of 300 to 1,000 samples with three covariates, two arms (one in two or one in five), common and rare variants, some with 2 % of
calls missing. Half of the cohorts have variants with additive, recessive, dominant and arm-specific effects. Printed by the smallest cell
of genotype and outcome (and arm), of variants that the screen may keep:

- lost: variants of which a fit of every row has a p below 0.05, and the screen fits none. There should be none.
- fitted: the share that is fitted although every cell is large enough.
- null: in cohorts without effects, the share of p <= alpha over alpha, of the test of all columns and of all single ones together,
  screened / every row fitted.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.models.base import METHODS
from genassoc.models.cox.model import Cox
from genassoc.models.logistic.model import Logistic
from genassoc.models.negative_binomial.model import NegativeBinomial
from genassoc.models.ordinal.model import Ordinal
from genassoc.models.poisson.model import Poisson
from genassoc.models.scan import wald
from genassoc.models.scan.joint_screen import LEAST_IN_CELL

VARIANTS = 300
ALPHAS = (0.05, 0.1, 0.3)
BINS = (LEAST_IN_CELL, 10.0, 20.0, 50.0, np.inf)
COVARIATES = ("x", "s", "arm")


class MemoryCohort:
    """What the null models ask of a cohort, from columns of a table: all samples are in the block."""

    offsets = None

    def __init__(self, **columns: Any) -> None:
        n = len(next(iter(columns.values())))
        table = pl.DataFrame({"IID": [f"s{i}" for i in range(n)], **columns})
        self.phenotypes = Phenotypes.read(table, sample_id="IID", missing_codes=["NA"])
        self.rows = np.arange(n)
        self.block_columns, self.block_width = np.arange(n), n

    def design(self, traits: Any, covariates: Any = (), **choices: Any) -> Any:
        """The design of a model."""
        return build_design(self.phenotypes, self.rows, traits, covariates, offsets=self.offsets, **choices)


def drawn(rng: np.random.Generator, with_effects: bool) -> SimpleNamespace:
    """Samples, their genotypes, and the linear predictor of an outcome."""
    n = int(rng.choice([300, 489, 1000]))
    low = rng.choice([0.02, 0.05, 0.2])
    frequency = np.exp(rng.uniform(np.log(low), np.log(0.5), VARIANTS))
    codes = rng.binomial(2, frequency[:, None], (VARIANTS, n)).astype(np.uint8)
    x, s = rng.standard_normal(n), (rng.random(n) < 0.4).astype(float)
    arm, age = (rng.random(n) < rng.choice([0.5, 0.2])).astype(float), rng.standard_normal(n)
    eta = 0.4 * x + 0.5 * s + 0.3 * arm
    for v in rng.integers(0, VARIANTS, 3) if with_effects else ():
        g = codes[v].astype(float)
        kinds = (g - g.mean(), (g == 2) * 1.0, (g > 0) * 1.0, (g - g.mean()) * arm)
        eta = eta + rng.normal(0.0, 0.5) * kinds[rng.integers(4)]
    codes[rng.random(codes.shape) < rng.choice([0.0, 0.0, 0.02])] = 3
    return SimpleNamespace(
        n=n, codes=codes, eta=eta, rate=float(rng.choice([0.5, 0.3, 0.12, 0.05])), columns={"x": x, "s": s, "arm": arm, "age": age}
    )  # fmt: skip


def binary(rng: np.random.Generator, made: SimpleNamespace) -> dict[str, Any]:
    """Cases and controls."""
    return {"y": (rng.random(made.n) < 1 / (1 + (1 / made.rate - 1) * np.exp(-made.eta))).astype(float)}


def counts(rng: np.random.Generator, made: SimpleNamespace) -> dict[str, Any]:
    """Counts without overdispersion."""
    return {"y": rng.poisson(5 * made.rate * np.exp(made.eta)).astype(float)}


def varied_counts(rng: np.random.Generator, made: SimpleNamespace) -> dict[str, Any]:
    """Counts with the variance of a negative binomial."""
    return {"y": rng.poisson(10 * made.rate * np.exp(made.eta) * rng.gamma(1.5, 1 / 1.5, made.n)).astype(float)}


def levels(rng: np.random.Generator, made: SimpleNamespace) -> dict[str, Any]:
    """Four ordered levels, the last rare."""
    return {"y": np.digitize(made.eta + rng.logistic(size=made.n), [-1.0, 0.7, 2.2]).astype(float)}


def times(rng: np.random.Generator, made: SimpleNamespace) -> dict[str, Any]:
    """Times, some censored."""
    time, end = np.ceil(40 * rng.exponential(np.exp(-made.eta))), np.ceil(rng.uniform(5, 80 * made.rate + 10, made.n))
    return {"t": np.minimum(time, end), "y": (time <= end).astype(int)}


def of(kind: Callable[..., Any], *traits: Any) -> Callable[..., Any]:
    """A model of the outcome."""
    return lambda **choices: kind(*(traits or (("y",),)), COVARIATES, **choices)


FAMILIES: dict[str, tuple[Callable[..., Any], Callable[..., dict[str, Any]]]] = {
    "logistic": (of(Logistic), binary), "Poisson": (of(Poisson), counts), "Poisson, overdispersed": (of(Poisson), varied_counts),
    "negative binomial": (of(NegativeBinomial), varied_counts), "ordinal": (of(Ordinal), levels), "Cox": (of(Cox, "t", "y"), times),
}  # fmt: skip
TESTED: dict[str, dict[str, str]] = {
    "genotypic": {"genetic_model": "genotypic"}, "arm": {"interaction": "arm"}, "number": {"interaction": "age"}
}  # fmt: skip


def one_cohort(rng: np.random.Generator, family: str, tested: str, with_effects: bool) -> np.ndarray:
    """Of each variant (V, 2 + 2 K): the smallest cell, whether its rows are of a screen, and p of its K tests, screened and fitted."""
    made, (model_of, outcome) = drawn(rng, with_effects), FAMILIES[family]
    model = model_of(**TESTED[tested])
    state = model.prepare(MemoryCohort(**outcome(rng, made), **made.columns))
    block, asked, null = GenotypeBlock.from_codes(made.codes), model.asked(), state.nulls[0]
    screened, fitted = (wald.test_block(each, state, block).columns for each in (asked, replace(asked, screens=False)))
    method = np.array(METHODS, dtype=object)[screened["method"][:, 0]]
    is_score = np.isin(method, ("score", "score_approx"))
    p = [10.0 ** -columns["neg_log_10_p_value"] for columns in (screened, fitted)]
    return np.column_stack([state.screens[0].cells.smallest(block, null.mask), is_score, *p])


def report(family: str, tested: str, repeats: int, seed: int) -> None:
    """Print the rows of a table: one for each bin of the smallest cell."""
    rng = np.random.default_rng([seed, list(FAMILIES).index(family), list(TESTED).index(tested)])
    parts = {
        effects: np.vstack([one_cohort(rng, family, tested, effects) for _ in range(repeats)])
        for effects in (False, True)
    }
    K = (parts[False].shape[1] - 2) // 2
    joint = 2
    for low, high in pairwise(BINS):
        kept = {effects: part[(part[:, 0] >= low) & (part[:, 0] < high)] for effects, part in parts.items()}
        whole = np.vstack(list(kept.values()))
        ours, fits = whole[:, 2 : 2 + K], whole[:, 2 + K :]
        tested_rows = np.isfinite(ours[:, 0]) & np.isfinite(fits[:, 0])
        hit = tested_rows & (fits.min(axis=1) < 0.05)
        lost = int((hit & (whole[:, 1] == 1)).sum())
        null = kept[False]
        null = null[np.isfinite(null[:, 2]) & np.isfinite(null[:, 2 + K])]
        words = []
        for columns in ((joint,), tuple(k for k in range(min(K, 3)) if k != joint)):
            for alpha in ALPHAS:
                both = [
                    (null[:, [first + k for k in columns]] <= alpha).mean() / alpha if len(null) else np.nan
                    for first in (2, 2 + K)
                ]
                words.append(f"{both[0]:.2f}/{both[1]:.2f}")
        share = (whole[tested_rows, 1] == 0).mean() if tested_rows.any() else np.nan
        print(
            f"| {family} | {tested} | {low:g}-{high:g} | {tested_rows.sum()} | {hit.sum()} | {lost} | {share:.2f} | {', '.join(words[:3])} | "
            f"{', '.join(words[3:])} |", flush=True
        )  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", choices=tuple(FAMILIES))
    parser.add_argument("--tested", choices=tuple(TESTED))
    asked = parser.parse_args()
    print(
        "| model | tested | smallest cell | variants | fitted p < 0.05 | lost | fitted | joint 0.05, 0.1, 0.3 | single 0.05, 0.1, 0.3 |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for family in FAMILIES if asked.model is None else (asked.model,):
        for tested in TESTED if asked.tested is None else (asked.tested,):
            with threadpool_limits(1):
                report(family, tested, asked.repeats, asked.seed)


if __name__ == "__main__":
    main()

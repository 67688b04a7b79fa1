"""Calibration of the 1-df interaction test under its null, with and without a main effect of g, and coverage of its interval.

    python benchmarks/calibration_interaction.py [--variants 20000] [--seed 1] [--model NAME]

Each variant has an outcome of its own, so that all tests are independent: N samples in two arms, a covariate, an effect of
the arm, a main effect of g (an odds or hazard ratio, or as many standard deviations), and no interaction. Size is the share of
p <= alpha, with its 99 % Monte-Carlo interval under alpha; coverage is of a planted interaction by its 95 % interval, over all
rows, whatever their p.
"""

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import stats
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.data.phenotypes.modifier import Modifier
from genassoc.kernels.laws.sandwich import MODEL
from genassoc.models.cox import fitted as cox_fitted
from genassoc.models.cox.model import Cox
from genassoc.models.linear import columns as linear_columns
from genassoc.models.linear.fitted import LeastSquaresRows
from genassoc.models.linear.model import Linear
from genassoc.models.logistic import fitted as logistic_fitted
from genassoc.models.logistic.family import prepare as logistic_nulls
from genassoc.models.logistic.model import Logistic
from genassoc.models.scan.glm_rows import GlmSample
from genassoc.models.scan.wald import Effects

N = 1000
ALPHAS = (0.05, 1e-3)
RATIOS = (1.0, 2.7, 4.5)
PLANTED = 0.3
EVERYONE = np.arange(N)

Rows = dict[str, np.ndarray]


def simulate(rng: np.random.Generator, ratio: float, planted: float) -> SimpleNamespace:
    """Genotypes of one variant, its covariates, and the linear predictor of an outcome."""
    frequency = rng.uniform(0.1, 0.5)
    g = rng.binomial(2, frequency, N)
    arm, x = (rng.permutation(N) < N // 2).astype(float), rng.standard_normal(N)
    eta = np.log(ratio) * (g - 2 * frequency) + 0.3 * arm + 0.3 * x + planted * (g - 2 * frequency) * arm
    return SimpleNamespace(g=g, arm=arm, x=x, eta=eta)


def design_of(drawn: SimpleNamespace, y: np.ndarray) -> SimpleNamespace:
    """What the null models read of a design."""
    return SimpleNamespace(
        y=y[:, None], X=np.column_stack([np.ones(N), drawn.arm, drawn.x]), traits=("y",),
        covariates=("intercept", "arm", "x"), complete=np.ones(N, bool), dropped_covariates=(), coding=("0, 1",),
        offset=np.zeros((N, 1)), offset_unit="trait",
    )  # fmt: skip


def modifier_of(drawn: SimpleNamespace) -> Modifier:
    """The arm."""
    return Modifier("arm", drawn.arm, (("0", 0.0), ("1", 1.0)), ())


def effects_of(drawn: SimpleNamespace) -> Effects:
    """An interaction with the arm."""
    return Effects(False, modifier_of(drawn))


def linear(rng: np.random.Generator, drawn: SimpleNamespace, variance: str) -> Any:
    """Rows of one variant: a normal outcome; for ``robust`` its spread is three times as large in one arm."""
    spread = np.where(drawn.arm == 1, 3.0, 1.0) if variance == "robust" else 1.0
    y = drawn.eta + spread * rng.standard_normal(N)
    model = Linear("y", interaction="arm", variance=variance)  # type: ignore[arg-type]
    if variance == "robust":
        X, ones = design_of(drawn, y).X, np.ones(N)
        null, _ = LeastSquaresRows.of(
            GlmSample(X=X, y=y, offset=np.zeros(N), weight=ones, columns=EVERYONE, width=N, ranks=False, variance=MODEL)
        )
        return model.block(effects_of(drawn).state(("y",), [null], EVERYONE, N, ones == 1.0, ()), block_of(drawn))
    state = linear_columns.state_of(model.choices(), design_of(drawn, y), modifier_of(drawn), EVERYONE, N)
    return model.block(state, block_of(drawn))


def logistic(rng: np.random.Generator, drawn: SimpleNamespace, correction: str | None) -> Any:
    """Rows of one variant: a binary outcome, one in five."""
    y = (rng.random(N) < 1 / (1 + np.exp(1.6 - drawn.eta))).astype(float)
    model = Logistic("y", interaction="arm", correction=correction)  # type: ignore[arg-type]
    nulls = logistic_nulls(design_of(drawn, y), EVERYONE, N)
    state = logistic_fitted.fitted_state(effects_of(drawn), nulls, N, [], np.ones(N, bool))
    return model.block(state, block_of(drawn))


def cox(rng: np.random.Generator, drawn: SimpleNamespace, robust: bool) -> Any:
    """Rows of one variant: exponential times, two in three censored."""
    time, censored = rng.exponential(np.exp(-drawn.eta)), rng.exponential(0.5, N)
    event = (time <= censored).astype(float)
    endpoint = SimpleNamespace(
        time=np.minimum(time, censored), event=event, name="y", coding="", n_competing=0, lacking=()
    )
    design = SimpleNamespace(
        covariates=design_of(drawn, event), complete=np.ones(N, bool), stratum=np.zeros(N, np.int64),
        entry=np.full(N, -np.inf), offset=np.zeros((N, 1)), endpoints=(endpoint,), strata=("",), notes=(),
    )  # fmt: skip
    model = Cox("t", "y", interaction="arm", variance="robust" if robust else "auto")
    if robust:
        null, _ = cox_fitted.fit_null(design, 0, np.ones(N, bool), np.ones(N), EVERYONE, N, efron=True)
        state = effects_of(drawn).state(("y",), [null], EVERYONE, N, design.complete, (), cox_fitted.events_of)
        return model.block(state, block_of(drawn))
    return model.block(cox_fitted.fitted_state(effects_of(drawn), design, EVERYONE, N), block_of(drawn))


def block_of(drawn: SimpleNamespace) -> GenotypeBlock:
    """A block of the one variant."""
    return GenotypeBlock.from_codes(drawn.g[None].astype(np.uint8))


MODELS: dict[str, Callable[[np.random.Generator, SimpleNamespace], Any]] = {
    "linear": lambda rng, drawn: linear(rng, drawn, "model"),
    "linear, unequal variances, HC3": lambda rng, drawn: linear(rng, drawn, "robust"),
    "logistic, Wald": lambda rng, drawn: logistic(rng, drawn, None),
    "logistic, Wald then Firth (default)": lambda rng, drawn: logistic(rng, drawn, "auto"),
    "Cox, Wald then Firth (default)": lambda rng, drawn: cox(rng, drawn, robust=False),
    "Cox, Lin and Wei": lambda rng, drawn: cox(rng, drawn, robust=True),
}


def run(model: str, ratio: float, planted: float, n_variants: int, seed: int) -> Rows:
    """p of "add:E" and of "joint_2df", and whether the 95 % interval of "add:E" covers the truth."""
    rng = np.random.default_rng([seed, list(MODELS).index(model), int(10 * ratio), int(10 * planted)])
    p, joint, covered = (np.full(n_variants, np.nan) for _ in range(3))
    for v in range(n_variants):
        drawn = simulate(rng, ratio, planted)
        with threadpool_limits(1):  # small matrices: idle threads cost more than they give
            result = MODELS[model](rng, drawn)
        at = result.labels["test"].index("add:E")
        columns = {name: values[0] for name, values in result.columns.items()}
        p[v], joint[v] = 10.0 ** -columns["neg_log_10_p_value"][[at, at + 1]]
        covered[v] = float(columns["ci_lower"][at] <= planted <= columns["ci_upper"][at])
        if np.isnan(p[v]):
            covered[v] = np.nan
    return {"p": p[~np.isnan(p)], "joint": joint[~np.isnan(joint)], "covered": covered[~np.isnan(covered)]}


def monte_carlo(share: float, n: int) -> tuple[float, float]:
    """Where 99 % of observed shares lie when the true one is ``share``."""
    low, high = stats.binom.interval(0.99, n, share)
    return low / n, high / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", action="append", choices=list(MODELS), help="some of them; all by default")
    chosen = parser.parse_args()
    bounds = [monte_carlo(alpha, chosen.variants) for alpha in ALPHAS]
    shown = [f"{alpha:g} ({low:.4g} to {high:.4g})" for alpha, (low, high) in zip(ALPHAS, bounds)]
    low, high = monte_carlo(0.95, chosen.variants)
    print(f"| model | main effect of g | tests | {' | '.join(shown)} | coverage 0.95 ({low:.4g} to {high:.4g}) |")
    print("|---|---|---|---|---|---|")
    for model in chosen.model or MODELS:
        for ratio in RATIOS:
            null = run(model, ratio, 0.0, chosen.variants, chosen.seed)["p"]
            covered = run(model, ratio, PLANTED, chosen.variants, chosen.seed)["covered"]
            sizes = " | ".join(f"{(null <= alpha).mean():.4g}" for alpha in ALPHAS)
            print(f"| {model} | {ratio:g} | {null.size} | {sizes} | {covered.mean():.4g} |", flush=True)


if __name__ == "__main__":
    main()

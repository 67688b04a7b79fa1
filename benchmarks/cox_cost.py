"""What Cox regression costs: the screen beside linear regression, a row of each test, and the peers' fits one by one.

    python benchmarks/cox_cost.py [--samples 10000] [--variants 1000] [--peer-variants 10]

One thread, CPU seconds; covariates: 4. Ours runs on all variants; each peer fits some of them one after another, and
the table shows that a fit costs the same throughout.
"""

import argparse
from collections.abc import Callable
from time import process_time
from types import SimpleNamespace

import numpy as np
import pandas as pd
from logistic_cost import cpu_seconds
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.models.cox.family import prepare
from genassoc.models.cox.model import Cox
from genassoc.models.linear.model import Linear
from genassoc.models.linear.null import prepare as prepare_linear

SECTION = "## What Cox regression costs"
COVARIATES = 4


def endpoints(time: np.ndarray, event: np.ndarray, X: np.ndarray) -> SimpleNamespace:
    """What ``Cox.design`` returns, from arrays (n, T)."""
    n, T = time.shape
    covariates = SimpleNamespace(
        X=np.column_stack([np.ones(n), X]),
        covariates=("intercept", *(f"x{c}" for c in range(X.shape[1]))),
        dropped_covariates=(),
    )
    found = [
        SimpleNamespace(
            name=f"event_{j}", time=time[:, j], event=event[:, j].astype(float), coding="", n_competing=0, lacking=()
        )
        for j in range(T)
    ]
    return SimpleNamespace(
        endpoints=tuple(found), entry=np.full(n, -np.inf), stratum=np.zeros(n, np.int64), strata=("",),
        covariates=covariates, complete=np.ones(n, bool), notes=(), offset=np.zeros((n, T)),
    )  # fmt: skip


def traits(y: np.ndarray, X: np.ndarray) -> SimpleNamespace:
    """What ``Cohort.design`` returns, from arrays."""
    return SimpleNamespace(
        y=y, X=np.column_stack([np.ones(len(y)), X]), traits=tuple(f"y{j}" for j in range(y.shape[1])),
        covariates=("intercept", *(f"x{c}" for c in range(X.shape[1]))), complete=np.ones(len(y), bool),
        dropped_covariates=(), coding=("",) * y.shape[1], offset=np.zeros(y.shape), offset_unit="trait",
    )  # fmt: skip


def drawn(N: int, V: int, share: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Codes (V, N), covariates, and times of which ``share`` are events (rounded: about 4 tied at a time)."""
    rng = np.random.default_rng(seed)
    codes = rng.binomial(2, rng.uniform(0.02, 0.5, V)[:, None], (V, N)).astype(np.uint8)
    X = rng.standard_normal((N, COVARIATES))
    failed = rng.exponential(np.exp(-X @ np.full(COVARIATES, 0.2)))
    censored = rng.exponential(share / (1 - share), N)
    return codes, X, np.ceil(np.minimum(failed, censored) * N / 8 / share), failed <= censored


def peers(codes: np.ndarray, X: np.ndarray, time: np.ndarray, event: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """CPU seconds of each of n fits (n,) of statsmodels and lifelines, where they are installed, after one to warm up."""
    names = [f"x{c}" for c in range(COVARIATES)]

    def lifelines_fit(v: int) -> None:
        from lifelines import CoxPHFitter

        frame = pd.DataFrame(X, columns=names).assign(g=codes[v].astype(float), T=time, E=event)
        CoxPHFitter().fit(frame, "T", "E")

    def statsmodels_fit(v: int, ties: str) -> None:
        from statsmodels.duration.hazard_regression import PHReg

        PHReg(time, np.column_stack([X, codes[v]]), status=event, ties=ties).fit(disp=0)

    found = {}
    for name, function in (
        ("lifelines (Efron)", lifelines_fit),
        ("statsmodels (Efron)", lambda v: statsmodels_fit(v, "efron")),
        ("statsmodels (Breslow)", lambda v: statsmodels_fit(v, "breslow")),
    ):
        try:
            function(0)
        except ImportError:
            continue
        found[name] = np.array([_cpu_seconds_of(function, v) for v in range(n)])
    return found


def _cpu_seconds_of(function: Callable[[int], None], v: int) -> float:
    start = process_time()
    function(v)
    return process_time() - start


def peer_line(name: str, seconds: np.ndarray, ours: float, V: int) -> str:
    """A row of the table: the mean fit, both halves of the fits, and what all variants would take."""
    half = max(seconds.size // 2, 1)
    spread = f"first {half} {seconds[:half].sum():.2f} s, last {half} {seconds[-half:].sum():.2f} s"
    return (
        f"| {name}, one fit (of {seconds.size}: {spread}) | {1e6 * seconds.mean():,.0f} us | "
        f"{V:,} fits {V * seconds.mean():,.0f} s: {seconds.mean() / ours:,.0f} times our Wald |"
    )


def measure(N: int, V: int, n_peers: int) -> list[str]:
    """The lines of the section."""
    command = f"cd benchmarks && python cox_cost.py --samples {N} --variants {V} --peer-variants {n_peers}"
    lines = [SECTION, "", f"`{command}`", ""]
    lines += [
        f"{N:,} samples, {V:,} variants, {COVARIATES} covariates, one thread; CPU time a variant. Of the Wald tests all {V:,} were run, "
        f"of each peer {n_peers} fits one after another; its line has the time of their first and last half beside each other.",
        "",
    ]
    for share in (0.5, 0.05):
        codes, X, time, event = drawn(N, V, share)
        block, at = GenotypeBlock.from_codes(codes), np.arange(N)
        design = endpoints(time[:, None], event[:, None], X)
        null_time = cpu_seconds(lambda: prepare(design, at, N), 3)  # noqa: B023 - run before the next round
        state = prepare(design, at, N)
        K = state.matrix.columns.shape[1] + 1
        # Linear regression with as many columns in its products as the screen's two.
        rng = np.random.default_rng(1)
        linear = prepare_linear(traits(rng.standard_normal((N, 32 - COVARIATES)), X), at, N)
        base = cpu_seconds(lambda: Linear(linear.traits).block(linear, block)) / V  # noqa: B023
        lines += [
            f"{event.sum():,} events; null model {1e3 * null_time:,.0f} ms; bound on what the screen leaves open {state.nulls[0].rest:.3f}",
            "", "| | a variant | rows done one by one |", "|---|---|---|",
            f"| linear, 32 columns of the product | {1e6 * base:,.1f} us | |",
        ]  # fmt: skip
        exact = {}
        for name, model in (
            (
                f"screen alone ({K} columns in two products of 16)",
                Cox("t", ("event_0",), correction=None, test="score"),
            ),
            ("default: Firth below 0.05", Cox("t", ("event_0",))),
            ("Wald, every variant", Cox("t", ("event_0",), test="wald", correction=None)),
            ("Firth in full, every variant", Cox("t", ("event_0",), correction="firth", correct_below=1.0)),
        ):
            if name.startswith("screen"):
                from genassoc.models.scan import screen

                climb = screen._do_step
                screen._do_step = lambda *_: None
                seconds = cpu_seconds(lambda: model.block(state, block)) / V  # noqa: B023
                screen._do_step = climb
                exact[name] = seconds
                lines.append(f"| {name} | {1e6 * seconds:,.1f} us | 0 |")
                seconds = cpu_seconds(lambda: model.block(state, block)) / V  # noqa: B023
                methods = model.block(state, block).columns["method"]
                name = "screen and exact information"
            else:
                some = GenotypeBlock.from_codes(codes[:100]) if "Firth in full" in name else block
                repeats = 1 if name.startswith("Wald") else 3
                seconds = cpu_seconds(lambda: model.block(state, some), repeats) / some.n_variants  # noqa: B023
                methods = model.block(state, some).columns["method"]
            exact[name] = seconds
            lines.append(f"| {name} | {1e6 * seconds:,.1f} us | {100 * (methods != 1).mean():.1f} % |")
        for name, fits in peers(codes, X, time, event, n_peers).items():
            lines.append(peer_line(name, fits, exact["Wald, every variant"], V))
        lines.append("")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=1000)
    parser.add_argument("--peer-variants", type=int, default=10)
    chosen = parser.parse_args()
    with threadpool_limits(1):
        lines = measure(chosen.samples, chosen.variants, chosen.peer_variants)
    print("\n".join(lines))


if __name__ == "__main__":
    main()

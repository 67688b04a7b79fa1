"""Size under the null of screened tests of several columns of Cox and ordinal models, by what the smallest cell expects.

    python benchmarks/calibration_columns.py [--variants 2000] [--traits 4] [--samples 1000]

The genotypic model and an interaction with an arm, genotypes without effect, a covariate that acts. A variant is screened where every
cell of genotype and event or level (and arm) expects 5 or more: the table begins there. Rejections over those expected, of the default
and with every variant fitted and corrected (``correct_below=1``); how many variants are screened, and how many of these have any p
below 0.05 when they are fitted.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store

CELLS = ((5, 10), (10, 20), (20, 50), (50, 1000))
LEVELS = (0.05, 0.01, 0.001)
COLUMNS = "".join(f" | {level:g}" for level in LEVELS)
OUTCOMES = {"Cox, 10 % events": 0.1, "Cox, 50 % events": 0.5, "ordinal, levels 60, 30, 10 %": None}
TESTED: dict[str, dict[str, Any]] = {
    "genotypic": {"genetic_model": "genotypic"}, "interaction": {"interaction": "arm"},
}  # fmt: skip


def cohort_of(
    N: int, T: int, share: float | None, rng: np.random.Generator, folder: Path
) -> tuple[ga.Cohort, list[str]]:
    """Samples with T outcomes: times of which ``share`` are events, or levels."""
    x, arm, ids = rng.standard_normal(N), rng.integers(0, 2, N), [f"s{i}" for i in range(N)]
    table: dict[str, Any] = {"IID": ids, "x": x, "arm": arm}
    names = [f"y{t}" for t in range(T)]
    for t, name in enumerate(names):
        if share is None:
            table[name] = np.digitize(0.3 * x + 0.3 * arm + rng.logistic(size=N), [0.4, 2.2])
            continue
        failed = rng.exponential(np.exp(-0.3 * x - 0.3 * arm))
        censored = rng.exponential(share / (1.0 - share), N)
        table[name], table[f"t{t}"] = (failed <= censored).astype(int), np.ceil(1000.0 * np.minimum(failed, censored))
    nothing = GenotypeBlock.from_codes(np.zeros((1, N), np.uint8))
    variant = pl.DataFrame(
        {
            "chromosome": ["1"], "base_pair_location": [1], "effect_allele": ["G"], "other_allele": ["A"], "rsid": ["v"], "record": [0],
            "alt_index": [1],
        }
    )  # fmt: skip
    write_store(folder / "null.zarr", ids, [nothing], variant, block_variants=1)
    return ga.Cohort.align(ga.open_store(folder / "null.zarr"), pl.DataFrame(table)), names


def models(share: float | None, names: list[str], choices: dict[str, Any]) -> list[Any]:
    """The default, and every variant fitted and corrected."""
    if share is None:
        return [ga.Ordinal(names, ["x", "arm"], **choices, **more) for more in ({}, {"correct_below": 1.0})]
    times = [f"t{name[1:]}" for name in names]
    return [ga.Cox(times, names, ["x", "arm"], **choices, **more) for more in ({}, {"correct_below": 1.0})]


def drawn(state: Any, V: int, low: float, high: float, N: int, rng: np.random.Generator) -> GenotypeBlock:
    """V variants whose smallest cell, of the first outcome, expects ``low`` to ``high``."""
    kept: list[np.ndarray] = []
    screen, mask = state.screens[0], state.nulls[0].mask
    while sum(map(len, kept)) < V:
        frequency = np.exp(rng.uniform(np.log(0.01), np.log(0.5), 4 * V))
        codes = rng.binomial(2, frequency[:, None], (4 * V, N)).astype(np.uint8)
        cells = screen.cells.smallest(GenotypeBlock.from_codes(codes), mask)
        kept.append(codes[(cells >= low) & (cells < high)])
        if not any(len(part) for part in kept):
            break  # no frequency has such cells
    return GenotypeBlock.from_codes(np.concatenate(kept)[:V])


def p_of(model: Any, state: Any, block: GenotypeBlock) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """-log10 p (V, rows), whether each is a score test's, and the names of the tests."""
    result = model.block(state, block)
    words = np.array([str(word) for word in result.categories["method"]])
    methods = words[np.asarray(result.columns["method"])]
    return np.asarray(result.columns["neg_log_10_p_value"]), np.char.startswith(methods, "score"), result.labels["test"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--variants", type=int, default=2000)
    parser.add_argument("--traits", type=int, default=4)
    chosen = parser.parse_args()
    N, rng = chosen.samples, np.random.default_rng(1972)
    print(
        f"| outcome | tested | smallest cell | test | tests | default{COLUMNS} | all fitted{COLUMNS} | screened | below 0.05 if fitted |"
    )
    print(f"|{'---|' * (7 + 2 * len(LEVELS) + 2)}")
    for outcome, share in OUTCOMES.items():
        with tempfile.TemporaryDirectory() as folder:
            cohort, names = cohort_of(N, chosen.traits, share, rng, Path(folder))
            for label, choices in TESTED.items():
                default, fitted = models(share, names, choices)
                state, other = default.prepare(cohort), fitted.prepare(cohort)
                for low, high in CELLS:
                    block = drawn(state, chosen.variants, low, high, N, rng)
                    if not block.n_variants:
                        continue
                    p, screened, tests = p_of(default, state, block)
                    q = p_of(fitted, other, block)[0]
                    by_trait = screened.reshape(len(p), len(names), -1).any(axis=2)
                    small = (q >= -np.log10(0.05)).reshape(len(p), len(names), -1).any(axis=2)
                    for test in [test for test in dict.fromkeys(tests) if "|" not in test]:  # of arms: as of `add`
                        at = np.array([name == test for name in tests])
                        n = int(np.isfinite(p[:, at]).sum())
                        shown = [
                            f"{(np.nan_to_num(values[:, at]) >= -np.log10(level)).sum() / max(n * level, 1e-9):.2f}"
                            for values in (p, q)
                            for level in LEVELS
                        ]
                        cells = [outcome, label, f"{low}-{high}", test, f"{n:,}", "", *shown[:3], "", *shown[3:]]
                        print(
                            f"| {' | '.join(cells)} | {100 * by_trait.mean():.0f} % | {(by_trait & small).sum()} |",
                            flush=True,
                        )


if __name__ == "__main__":
    main()

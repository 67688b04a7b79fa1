"""Size of negative binomial regression where genotypes have no effect: the share of p below a level over the level.

python benchmarks/calibration_negative_binomial.py [variants] [cohorts]
"""

import sys
from collections.abc import Iterator

import numpy as np
import polars as pl

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.data.phenotypes.design import Design, build_design
from genassoc.data.phenotypes.phenotypes import Phenotypes

LEVELS = (0.05, 1e-2, 1e-3, 1e-4)
ALLELES = (5, 10, 20, 100)
TESTS = {"default": {}, "score": {"correction": None}, "wald": {"test": "wald"}, "lrt": {"test": "lrt"}}


class Drawn:
    """A cohort in memory, as `prepare` of a model asks for one."""

    offsets = None

    def __init__(self, table: pl.DataFrame) -> None:
        self.phenotypes = Phenotypes.read(table, sample_id="IID", missing_codes=["NA"])
        self.rows, self.block_columns, self.block_width = np.arange(table.height), np.arange(table.height), table.height

    def design(self, traits, covariates=(), **choices) -> Design:
        """The outcomes and covariates."""
        return build_design(self.phenotypes, self.rows, traits, covariates, **choices)


def draw(rng: np.random.Generator, n: int, alpha: float, mean: float, V: int) -> tuple[Drawn, np.ndarray]:
    """Counts over 0.5 to 2 years with one covariate, and V variants of each number of minor alleles."""
    x, years = rng.normal(size=n), rng.uniform(0.5, 2.0, n)
    rate = years * np.exp(0.5 * x)
    mu = mean * rate / rate.mean()
    y = rng.negative_binomial(1 / alpha, 1 / (1 + alpha * mu))
    codes = np.zeros((len(ALLELES) * V, n), np.uint8)
    for v, alleles in enumerate(np.repeat(ALLELES, V)):
        np.add.at(codes[v], rng.integers(0, n, alleles), 1)
    table = pl.DataFrame({"IID": [f"s{i}" for i in range(n)], "x": x, "y": y, "years": years})
    return Drawn(table), np.minimum(codes, 2)


def sizes(n: int, alpha: float, mean: float, V: int, cohorts: int) -> Iterator[tuple[str, int, int, list[float]]]:
    """Of each test and number of alleles: how many p there are, and the shares over the levels."""
    rng = np.random.default_rng(int(n * 7 + alpha * 100 + mean * 10))
    p: dict[str, list[np.ndarray]] = {name: [] for name in TESTS}
    for _ in range(cohorts):
        cohort, codes = draw(rng, n, alpha, mean, V)
        for name, choices in TESTS.items():
            model = ga.NegativeBinomial("y", ["x"], "years", **choices)
            columns = model.block(model.prepare(cohort), GenotypeBlock.from_codes(codes)).columns
            p[name].append(10.0 ** -columns["neg_log_10_p_value"][:, 0].reshape(len(ALLELES), V))
    for name, found in p.items():
        for k, alleles in enumerate(ALLELES):
            values = np.concatenate([part[k] for part in found])
            values = values[np.isfinite(values)]
            yield name, alleles, values.size, [float((values <= level).mean() / level) for level in LEVELS]


def main(V: int = 2000, cohorts: int = 15) -> None:
    """Print a line of each combination."""
    for n in (300, 1000, 2000):
        for alpha in (0.5, 2.0):
            for mean in (0.3, 1.0, 3.0):
                for name, alleles, tests, shares in sizes(n, alpha, mean, V, cohorts):
                    print(n, alpha, mean, name, alleles, tests, *(f"{share:.2f}" for share in shares), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

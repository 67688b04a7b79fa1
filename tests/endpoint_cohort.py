"""A small cohort on disk with an endpoint of every kind, for tests of what refits single rows."""

import numpy as np
import polars as pl
from small_cohort import make_files

import genassoc as ga

COVARIATES = ("age", "sex", "PC1:PC2")
MODELS = {
    "linear": ga.Linear(["ldl", "ldl_before"], COVARIATES),
    "ranks": ga.Linear(["ldl"], COVARIATES, rank_normalise=True, missing="mean"),
    "like regenie": ga.Linear(["ldl"], COVARIATES, like="regenie"),
    "change": ga.Linear(["years", "ldl"], COVARIATES, baseline=["ldl_change", "ldl_before"]),
    "change alone": ga.Linear(["ldl"], COVARIATES, baseline="ldl_before", adjust_baseline=False),
    "genotypic": ga.Linear(["ldl"], COVARIATES, genetic_model="genotypic"),
    "logistic": ga.Logistic(["t2d", "rare"], COVARIATES),
    "wald": ga.Logistic(["t2d"], COVARIATES, test="wald"),
    "firth": ga.Logistic(["rare"], COVARIATES, correction="firth", correct_below=0.5),
    "like plink2": ga.Logistic(["rare"], COVARIATES, like="plink2"),
    "firth like regenie": ga.Logistic(["rare"], COVARIATES, like="regenie"),
    "recessive": ga.Logistic(["t2d"], COVARIATES, genetic_model="recessive", test="lrt"),
    "poisson": ga.Poisson(["attacks"], COVARIATES, exposure="years"),
    "ordinal": ga.Ordinal(["grade"], COVARIATES),
    "cox": ga.Cox("days", "death", COVARIATES, entry="entry", strata="site"),
    "cox firth": ga.Cox("days", "death", COVARIATES, correction="firth", correct_below=0.2, ties="breslow"),
}


def make(folder, n_samples=260, n_variants=420, seed=11):
    """Store and phenotypes: traits of the simulation, and counts, grades and times without any effect."""
    files = make_files(folder, n_samples, n_variants, seed)
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    rng, n = np.random.default_rng(seed), table.height
    entry = np.where(rng.random(n) < 0.3, np.floor(rng.uniform(0, 20, n)), 0.0)
    table = table.with_columns(
        rare=pl.Series((rng.random(n) < 0.08).astype(np.int64)),
        attacks=pl.Series(rng.poisson(2 * rng.gamma(2, 0.5, n))),
        years=pl.Series(rng.uniform(0.5, 3, n)),
        grade=pl.Series(rng.integers(0, 4, n)),
        days=pl.Series(entry + np.ceil(rng.exponential(40, n))),
        entry=pl.Series(entry),
        death=pl.Series((rng.random(n) < 0.5).astype(np.int64)),
        site=pl.Series(rng.choice(["a", "b", "c"], n)),
    )
    files.phenotypes.write_text(table.write_csv(separator="\t", null_value="NA"))
    return files

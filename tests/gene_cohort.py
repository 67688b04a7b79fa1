"""A small cohort with rare variants in genes on disk; a dense account of one column of variants; a driver to kill.

Run as a program: ``gene_cohort.py FOLDER OUT SECONDS`` tests the sets of a folder, waiting after every task.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import genassoc as ga

COVARIATES = ("age", "sex")


@dataclass(frozen=True)
class Files:
    """Where the cohort lies."""

    store: Path
    phenotypes: Path
    sets: Path
    annotations: Path
    masks: Path

    @classmethod
    def of(cls, folder: Path) -> "Files":
        """Those that `make_files` left in a folder."""
        names = ("phenotypes.tsv", "sets.txt", "annotations.txt", "masks.txt")
        return cls(folder / "cohort.zarr", *(folder / "genes" / name for name in names))

    def cohort(self) -> ga.Cohort:
        return ga.Cohort.align(self.store, self.phenotypes, sex="sex")

    def read_sets(self):
        return ga.read_sets(self.sets, self.annotations, self.masks)


def make_files(folder: Path, n_samples: int = 600, n_genes: int = 14, seed: int = 5, **choices) -> Files:
    """Store, phenotypes and REGENIE's three files of a simulated cohort; 1 % of calls missing."""
    made = ga.simulate_genes(
        n_samples, n_genes, 12, n_cases=n_samples // 3, n_chromosomes=3, missing_rate=0.01, seed=seed, **choices
    )
    made.write_store(folder / "cohort.zarr")
    made.write_sets(folder / "genes")
    return Files.of(folder)


def run(files: Files, out: Path | None = None, executor=None, **choices) -> ga.SetResults:
    """Linear tests of all sets."""
    choices = {"max_maf": (0.005, 0.05), **choices}
    model = ga.Linear(("biomarker", "response"), COVARIATES)
    return ga.associate_sets(files.cohort(), model, files.read_sets(), out=out, executor=executor, **choices)


@dataclass(frozen=True)
class Column:
    """The variants of a mask of a set: minor alleles (m, N) with missing calls at their mean, and what the cohort has of them.

    Attributes
    ----------
    G : float64 array (m, N)
    maf, mac : float64 arrays (m,)
    observed : bool array (m, N)
    """

    G: np.ndarray
    maf: np.ndarray
    mac: np.ndarray
    observed: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, most: float) -> "Column":
        """Of the codes (m, N) of a mask's variants, those that somebody carries and whose minor allele is at most so frequent."""
        observed = codes != 3
        copies = np.where(observed, codes, 0).astype(float)
        frequency = copies.sum(axis=1) / (2 * observed.sum(axis=1))
        copies = np.where((frequency > 0.5)[:, None], np.where(observed, 2 - copies, 0), copies)
        mac = copies.sum(axis=1)
        maf = mac / (2 * observed.sum(axis=1))
        keep = (mac > 0) & (maf <= most)
        G = np.where(observed, copies, (2 * maf)[:, None])[keep]
        return cls(G, maf[keep], mac[keep], observed[keep])

    def collapsed(self, below: float = 10) -> "Column":
        """Those with few minor alleles as one variant: the most that a sample has of any, a missing call counted as none."""
        rare = self.mac <= below
        if rare.sum() < 2:
            return self
        most = np.where(self.observed[rare], self.G[rare], 0.0).max(axis=0)[None]
        G = np.vstack([self.G[~rare], most])
        N = G.shape[1]
        return Column(
            G,
            np.append(self.maf[~rare], most.sum() / (2 * N)),
            np.append(self.mac[~rare], most.sum()),
            np.ones(G.shape, bool),
        )


def _main(folder: str, out: str, seconds: str) -> None:
    from genassoc.engine import gene_sets

    do = gene_sets.GeneSetJob.do

    def slow(*arguments):
        time.sleep(float(seconds))
        return do(*arguments)

    gene_sets.GeneSetJob.do = slow
    run(Files.of(Path(folder)), Path(out), ga.Serial())


def rows_of(results: ga.SetResults, **where: object) -> pl.DataFrame:
    """Rows with some values."""
    return results.table.filter(*[pl.col(name) == value for name, value in where.items()])


if __name__ == "__main__":
    _main(*sys.argv[1:])

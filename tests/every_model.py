"""Every family with every axis, on one small cohort in memory: what must hold of all models is shown of all of them."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from memory_store import MemoryStore, snv_table

import genassoc as ga
from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.data.store.writer import write_store

N = 320
FAMILIES = {
    "linear": partial(ga.Linear, "q", ["x"]),
    "logistic": partial(ga.Logistic, "y", ["x"]),
    "matched": partial(ga.Logistic, "y", ["x"], matched="set"),
    "cox": partial(ga.Cox, "T", "E", ["x"]),
    "poisson": partial(ga.Poisson, "count", ["x"], exposure="years"),
    "negative_binomial": partial(ga.NegativeBinomial, "relapses", ["x"], exposure="years"),
    "ordinal": partial(ga.Ordinal, "grade", ["x"]),
    "mixed": partial(ga.LinearMixed, "q", ["x"]),
}
AXES = {
    "plain": {},
    "mean": {"missing": "mean"},
    "weighted": {"weights": "w"},
    "robust": {"variance": "robust"},
    "interaction": {"interaction": "arm"},
    "interaction of a number": {"interaction": "x"},
    "interaction weighted": {"interaction": "arm", "weights": "w"},
    "interaction robust": {"interaction": "arm", "variance": "robust"},
    "dominant": {"genetic_model": "dominant"},
    "recessive": {"genetic_model": "recessive"},
    "hetonly": {"genetic_model": "hetonly"},
    "genotypic": {"genetic_model": "genotypic"},
}
_INTERACTIONS = tuple(axis for axis in AXES if axis.startswith("interaction"))
# Cells that are not there, and words of their refusal. A cell that is filled leaves this table.
ABSENT = {
    **{("matched", axis): "conditional likelihood" for axis in ("weighted", "robust", *_INTERACTIONS)},
    ("matched", "genotypic"): "one column of genotypes",
    **{("mixed", axis): "mixed model|variance is" for axis in ("weighted", "robust", "genotypic", *_INTERACTIONS)},
}
CELLS = [(family, axis) for family in FAMILIES for axis in AXES if (family, axis) not in ABSENT]


def name_of(cell):
    """Of a test's parameter."""
    return " ".join(cell)


def model(family, axis, **choices):
    """A model of the table."""
    return FAMILIES[family](**AXES[axis], **choices)


@dataclass(frozen=True)
class Sample:
    """Codes (V, N), dosages (V, N) near them with the probabilities of two copies, in thousandths, and outcomes of all kinds."""

    table: pl.DataFrame
    codes: np.ndarray
    dosages: np.ndarray
    homozygous: np.ndarray

    def cohort(self):
        """In memory, with what `prepare` of a model asks for."""
        return ga.Cohort.align(MemoryStore(self.codes, self.table["IID"].to_list()), self.table)

    def stored(self, folder, block_variants):
        """A cohort whose store is on disk, as `genassoc.associate` wants it."""
        ids, path = self.table["IID"].to_list(), folder / f"{block_variants}.zarr"
        if not path.exists():
            block, variants = GenotypeBlock.from_codes(self.codes), snv_table(len(self.codes))
            write_store(path, ids, [block], variants, block_variants=block_variants)
        return ga.Cohort.align(ga.open_store(path), self.table)

    def block(self, soft=False, swapped=False, known=False):
        """All variants as one block; of the other allele's copies where they are swapped; with probabilities of genotypes, where known."""
        if soft:
            d, two = self.dosages, self.homozygous
            d, two = (2.0 - d, 1.0 - d + two) if swapped else (d, two)
            return DosageBlock.from_dosages(d, steps=1000, homozygous=two if known else None)
        return GenotypeBlock.from_codes(self.swapped if swapped else self.codes)

    @property
    def swapped(self):
        """Codes that count the other allele."""
        return np.where(self.codes == 3, 3, 2 - self.codes.astype(int)).astype(np.uint8)


def draw(seed=31):
    """Common and rare variants of either allele; without one in cases or in controls; a separating one; missing calls."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    y = (rng.random(N) < 1 / (1 + np.exp(0.4 - 0.6 * x))).astype(int)
    frequency = np.array([0.5, 0.3, 0.15, 0.06, 0.03, 0.03, 0.02, 0.95, 0.97, 0.8, 0.04, 0.04, 0.96, 0.1, 0.5, 0.25])
    codes = rng.binomial(2, frequency[:, None], (frequency.size, N)).astype(np.uint8)
    codes[1, y == 1] = rng.binomial(2, 0.55, int(y.sum()))  # a hit
    codes[10, y == 1] = 0  # no case carries ALT
    codes[11, y == 0] = 0  # no control does
    codes[12, y == 1] = 2  # no case carries REF
    codes[13, y == 0], codes[13, y == 1] = 0, 2  # g is the trait
    codes[14:16][rng.random((2, N)) < 0.03] = 3
    time = np.ceil(rng.exponential(30 / np.exp(0.4 * x), N))
    table = pl.DataFrame(
        {
            "IID": [f"s{i}" for i in range(N)],
            "x": x,
            "q": 0.5 * x + rng.normal(size=N),
            "y": y,
            "T": time,
            "E": (rng.random(N) < 0.5).astype(int),
            "count": rng.poisson(np.exp(0.3 + 0.3 * x)),
            "relapses": np.random.default_rng(seed + 1).negative_binomial(1.5, 0.5, N),
            "grade": rng.integers(0, 3, N),
            "w": rng.choice([1.0, 2.5, 4.0], N),
            "set": np.arange(N) // 4,
            "arm": rng.integers(0, 2, N),
            "years": rng.uniform(0.5, 2.0, N),
        }
    )
    soft = np.where(codes == 3, np.nan, np.clip(codes + rng.uniform(-0.3, 0.3, codes.shape), 0.0, 2.0).round(3))
    least = np.maximum(soft - 1.0, 0.0)  # probability of two copies that a dosage allows; half of it at most
    return Sample(table, codes, soft, (least + rng.uniform(0.0, 1.0, codes.shape) * (0.5 * soft - least)).round(3))


def run(chosen, cohort, block):
    """Columns (V, K), methods and codes by name, and the labels of the K tests."""
    result = chosen.block(chosen.prepare(cohort), block)
    columns = {name: np.asarray(values) for name, values in result.columns.items()}
    for name, words in result.categories.items():
        columns[name] = np.array(words, dtype=object)[columns[name]]
    return columns, result.labels["test"]

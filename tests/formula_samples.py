"""Samples with genotypes and covariates of every kind, for tests of formulas: the store, the table, and their files.

The names of columns are those that break formulas elsewhere: functions (center, log, C), dots, digits first, accents, blanks.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import polars as pl

N = 160
FORMATS = "0/0", "0/1", "1/1"


@dataclass(frozen=True)
class Files:
    """Where they lie."""

    vcf: Path
    table: Path


def make_table() -> pl.DataFrame:
    """y depends on the site, whose frequency of ALT differs too, on age and on its square."""
    rng = random.Random(11)
    copies = [(rng.random() < 0.35) + (rng.random() < 0.35) for _ in range(N)]
    site = ["ABCD"[(i + copies[i]) % 4] for i in range(N)]
    age = [rng.randint(20, 70) for _ in range(N)]
    bmi = [round(rng.gauss(26, 4), 2) for _ in range(N)]
    crp = [round(rng.lognormvariate(0, 1), 3) for _ in range(N)]
    dose = [float(rng.choice([1, 2, 4, 8])) for _ in range(N)]
    y = [
        round({"A": 0, "B": 3, "C": 6, "D": 9}[s] + 0.1 * a + 0.004 * (a - 45) ** 2 + rng.gauss(0, 1), 3)
        for s, a in zip(site, age)
    ]
    columns = {"IID": [f"P{i:03d}" for i in range(N)], "copies": copies, "y": y, "age": age, "bmi": bmi, "crp": crp}
    columns |= {"dose": dose, "site": site, "arm": [rng.choice(["drug", "placebo"]) for _ in range(N)]}
    columns |= {
        "center": site,
        "scale": age,
        "poly": bmi,
        "Q": crp,
        "exp": dose,
        "C": site,
        "I": age,
        "log": crp,
        "lag": bmi,
    }
    columns |= {
        "age.at.visit": age,
        "1y.bmi": bmi,
        "größe": bmi,
        "age at visit": age,
        "body-mass": bmi,
        "crp (mg/l)": crp,
    }
    # missing where age is high, so that knots of the samples that are left would be others
    columns["y_few"] = [None if a > 60 and i % 2 else value for i, (value, a) in enumerate(zip(y, age))]
    columns["bmi_few"] = [None if a > 55 and i % 3 == 0 else value for i, (value, a) in enumerate(zip(bmi, age))]
    return pl.DataFrame(columns, strict=False)


def make_files(folder: Path) -> Files:
    """A VCF of two variants, the first of them with the copies of the table, and the table."""
    table = make_table()
    rng = random.Random(12)
    calls = [table["copies"].to_list(), [rng.choice([0, 0, 1, 2]) for _ in range(N)]]
    lines = [
        "##fileformat=VCFv4.2",
        "##contig=<ID=1>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *table["IID"]]),
    ]
    for v, row in enumerate(calls):
        lines.append(
            "\t".join(["1", f"{v + 1}00", f"rs{v}", "A", "G", ".", ".", ".", "GT", *(FORMATS[c] for c in row)])
        )
    files = Files(folder / "g.vcf", folder / "p.tsv")
    files.vcf.write_text("\n".join(lines) + "\n")
    files.table.write_text(table.drop("copies").write_csv(separator="\t", null_value="NA"))
    return files

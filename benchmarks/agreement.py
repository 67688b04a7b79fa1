"""Whether the tools found the same: what each wrote, joined by variant and allele, number by number."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

# Half a unit of the sixth digit, which is what the peers print.
PRINTED = 5e-6


@dataclass(frozen=True)
class Tolerance:
    """What two results may differ by, besides the rounding of print.

    Attributes
    ----------
    estimate : float
        Of beta, in units of ``max(|beta|, SE)``; and of SE, relative, unless ``se`` is given.
    logp : float
        Of -log10 p, in units of ``max(1, -log10 p)``.
    why : str
    share : float
        Of the rows that must be inside.
    se : float, optional
    method : str, optional
        Only rows of ours whose p this test made.
    least_cases : int
        Rows of fewer cases are left out.
    """

    estimate: float
    logp: float
    why: str
    share: float = 1.0
    se: float | None = None
    method: str | None = None
    least_cases: int = 0


LINEAR = Tolerance(
    1e-5,
    1e-4,
    "both exact least squares in float64; rows whose p is of the residuals' own law, as for rare variants of few samples, have no peer there",
    method="t",
)
DOSAGES = Tolerance(
    1e-3,
    1e-3,
    "PLINK 2 rounds dosages to 1/16384 of a copy, ours are the file's; rows whose p is of the residuals' own law have no peer there",
    method="t",
)
# statsmodels, iterated to the end, gives our SE (to 1e-7) on the rows that differ most.
WALD = Tolerance(
    1e-3,
    5e-2,
    "Debian's PLINK 2 (a3.5) iterates in single precision and takes SE from before the last step (2 % off at 120 samples, "
    "less with more); rows without Firth",
    0.999,
    se=2.5e-2,
)
REFINED = Tolerance(
    0.5,
    0.25,
    "different tests: our score test against their Wald test, MAC 100 and more, larger where p is small; with 1 % of cases the "
    "score test's one-step estimate and its error are a third of an error off; with fewer than 50 cases the two have nothing to agree on",
    0.95,
    least_cases=50,
)
SGKIT = Tolerance(
    1e-3, 1e-3, "sgkit gives missing calls the mean: variants without any; its genotypes were made float32", 0.999
)
REGENIE_LINEAR = Tolerance(
    0.05,
    0.10,
    "regenie gives missing calls the mean: variants without any; it keeps the null's residual variance; MAC 20 and more",
    0.95,
)


@dataclass(frozen=True)
class Agreement:
    """What a comparison found, in words, and whether it is within its tolerance."""

    text: str
    ok: bool


Columns = dict[str, np.ndarray]


def read(path: Path) -> pl.DataFrame:
    """A table of ours or of a peer: parquet, tab or blanks between columns, NA for nothing."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    first = path.open().readline()
    if "\t" in first:
        return pl.read_csv(
            path,
            separator="\t",
            null_values=["NA", "."],
            infer_schema_length=None,
            schema_overrides={"#CHROM": pl.String},
        )
    rows = [line.split() for line in path.read_text().splitlines()]
    return pl.DataFrame(rows[1:], schema=rows[0], orient="row").with_columns(
        pl.all().replace({"NA": None, "nan": None}).name.keep()
    )


def compare_tests(
    tolerance: Tolerance, theirs: Callable[[Path], pl.DataFrame], least_mac: float = 0.0, complete: bool = False
):
    """A comparison of association results.

    Parameters
    ----------
    tolerance : Tolerance
    theirs : callable
        Path -> table with ``rsid, allele, beta, se, logp`` (``beta`` and ``se`` null where the tool gives none).
    least_mac : float
        Rows of fewer minor alleles are left out.
    complete : bool
        Only variants without missing calls, where complete cases and imputation by the mean are one model.
    """

    def compare(ours_path: Path, theirs_path: Path) -> Agreement:
        ours = read(ours_path).filter(pl.col("mac") >= least_mac, (pl.col("missing_rate") < 1e-9) | (not complete))
        if tolerance.method is not None:
            ours = ours.filter(pl.col("method") == tolerance.method)
        if tolerance.least_cases:
            ours = ours.filter(pl.col("n_cases") >= tolerance.least_cases)
            if ours.height == 0:
                return Agreement(f"not compared: fewer than {tolerance.least_cases} cases; {tolerance.why}", True)
        both = ours.rename({"beta": "our_beta"}).join(theirs(theirs_path), on="rsid", how="inner")
        both = both.filter(pl.col("our_beta").is_not_null() & pl.col("logp").is_not_null())
        if both.height == 0:
            return Agreement("no row in common", False)
        sign = np.where(both["allele"] == both["effect_allele"], 1.0, -1.0)
        beta, se, logp = (both[name].cast(pl.Float64).to_numpy() for name in ("beta", "se", "logp"))
        size = np.maximum(np.abs(beta), se)
        worst = {
            "beta": (np.abs(both["our_beta"].to_numpy() - sign * beta) / size, tolerance.estimate),
            "SE": (np.abs(both["standard_error"].to_numpy() - se) / se, tolerance.se or tolerance.estimate),
            "-log10 p": (np.abs(both["neg_log_10_p_value"].to_numpy() - logp) / np.maximum(1, logp), tolerance.logp),
        }
        return _verdict(worst, tolerance, both.height)

    return compare


def _verdict(worst: dict[str, tuple[np.ndarray, float]], tolerance: Tolerance, n: int) -> Agreement:
    worst = {name: (found[np.isfinite(found)], bar + PRINTED) for name, (found, bar) in worst.items()}
    worst = {name: pair for name, pair in worst.items() if pair[0].size}
    inside = {name: float((found <= bar).mean()) for name, (found, bar) in worst.items()}
    ok = bool(worst) and min(inside.values()) >= tolerance.share
    parts = [
        f"{name} {np.quantile(found, tolerance.share):.1e} (bar {bar:.1e})" for name, (found, bar) in worst.items()
    ]
    which = "largest" if tolerance.share == 1 else f"{100 * tolerance.share:g} % quantile"
    return Agreement(f"{n:,} rows, {which}: {', '.join(parts)}; {tolerance.why}", ok)


def plink2_linear(path: Path) -> pl.DataFrame:
    """``.glm.linear``."""
    return read(path).select(
        rsid="ID", allele="A1", beta="BETA", se="SE", logp=-pl.col("P").cast(pl.Float64).log10()
    )  # fmt: skip


def plink2_logistic(path: Path) -> pl.DataFrame:
    """``.glm.logistic.hybrid``: rows that Firth's penalty was not needed for."""
    return (
        read(path)
        .filter(pl.col("FIRTH?") == "N")
        .select(
            rsid="ID", allele="A1", beta=pl.col("OR").cast(pl.Float64).log(), se="LOG(OR)_SE",
            logp=-pl.col("P").cast(pl.Float64).log10(),
        )
    )  # fmt: skip


def plink1_linear(path: Path) -> pl.DataFrame:
    """``.assoc.linear``; 1.9 prints four digits and no SE."""
    table = read(path).with_columns(pl.col("BETA", "STAT", "P").cast(pl.Float64))
    return table.select(
        rsid="SNP", allele="A1", beta="BETA", se=(pl.col("BETA") / pl.col("STAT")).abs(), logp=-pl.col("P").log10()
    )


PLINK1 = Tolerance(1.5e-3, 1e-3, "PLINK 1.9 prints four digits, and SE is made of two numbers so printed", 0.999)


def regenie_linear(path: Path) -> pl.DataFrame:
    """``_TRAIT.regenie``."""
    return read(path).select(
        rsid="ID", allele="ALLELE1", beta=pl.col("BETA").cast(pl.Float64), se=pl.col("SE").cast(pl.Float64),
        logp=pl.col("LOG10P").cast(pl.Float64),
    )  # fmt: skip


def sgkit_linear(path: Path) -> pl.DataFrame:
    """What peers_python wrote."""
    table = read(path).filter(pl.col("t").is_finite())
    return table.select(
        "rsid",
        "beta",
        allele="effect_allele",
        se=(pl.col("beta") / pl.col("t")).abs(),
        logp=-pl.col("p").cast(pl.Float64).log10(),
    )


def compare_counts(ours_path: Path, theirs_path: Path) -> Agreement:
    """Our qc table against PLINK 2's ``--geno-counts``: whole numbers, so equal."""
    theirs = read(theirs_path).rename({"ID": "rsid"})
    both = read(ours_path).join(theirs, on="rsid", how="inner")
    pairs = {
        "n_hom_ref": "HOM_REF_CT",
        "n_het": "HET_REF_ALT_CTS",
        "n_hom_alt": "TWO_ALT_GENO_CTS",
    }
    different = sum(int((both[ours] != both[name].cast(pl.Int64)).sum()) for ours, name in pairs.items())
    ok = different == 0 and both.height == theirs.height > 0
    return Agreement(f"{both.height:,} variants, genotype counts: {different} differ", ok)


def compare_qc(ours_path: Path, theirs_prefix: Path) -> Agreement:
    """Our qc table against ``PREFIX.afreq``, ``.hardy`` and ``.vmiss``."""
    table = read(ours_path)
    worst: dict[str, float] = {}
    n = 0
    for suffix, ours, name in (
        (".afreq", "af", "ALT_FREQS"),
        (".vmiss", "missing_rate", "F_MISS"),
        (".hardy", "hwe_p", "P"),
    ):
        both = table.join(read(Path(f"{theirs_prefix}{suffix}")).rename({"ID": "rsid"}), on="rsid", how="inner")
        found, expected = both[ours].to_numpy(), both[name].cast(pl.Float64).to_numpy()
        error = np.abs(found - expected) / np.maximum(expected, 1e-300)
        worst[ours] = float(np.nanmax(np.where(expected > 0, error, np.abs(found - expected))))
        n += both.height
    # Their exact test ends its sums early: the sixth digit may be theirs.
    bars = {"af": PRINTED, "missing_rate": PRINTED, "hwe_p": 2 * PRINTED}
    ok = n >= 3 and all(worst[name] <= bar * 1.01 for name, bar in bars.items())
    words = ", ".join(f"{name} {value:.1e} (bar {bars[name]:.0e})" for name, value in worst.items())
    return Agreement(f"{n:,} numbers, largest relative: {words}", ok)

"""REGENIE's step 2 results: one trait a file, fields separated by a blank. ALLELE1 is the effect allele.

Columns: https://rgcgithub.github.io/regenie/options/#output, as versions 3 and 4 write them.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from genassoc.errors import InputError
from genassoc.formats.sumstats.columns import NO_ESTIMATE, code_of_missing, number, one_word, renamed, variant_id, whole
from genassoc.formats.sumstats.dialect import Dialect, Group, with_gzip

TESTS = {
    "add": "ADD",
    "dom": "DOM",
    "rec": "REC",
    "hetonly": "HETONLY",
    "geno_2df": "GENO_2DF",
    "joint_2df": "ADD-INT_2DF",
}
FAILED = "TEST_FAIL"


def read(names: Sequence[str]) -> dict[str, pl.Expr]:
    """The result columns of a file whose header has these names.

    Raises
    ------
    InputError
        If the file holds several traits side by side (``--no-split``).
    """
    if "BETA" not in names:
        raise InputError(
            "a REGENIE file with several traits side by side (BETA.Y1, BETA.Y2, ...) is not read: run REGENIE without "
            "--no-split, or cut the columns of one trait and name them BETA SE CHISQ LOG10P."
        )
    beta, p = number("BETA"), number("LOG10P")
    theirs = pl.lit(None, pl.String)
    if "EXTRA" in names:
        theirs = pl.when(pl.col("EXTRA").str.contains(FAILED)).then(pl.lit(NO_ESTIMATE))
    own_id = variant_id("CHROM", "GENPOS", pl.col("ALLELE0"), pl.col("ALLELE1"))
    columns = {
        "chromosome": pl.col("CHROM"),
        "base_pair_location": whole("GENPOS"),
        "effect_allele": pl.col("ALLELE1"),
        "other_allele": pl.col("ALLELE0"),
        "beta": beta,
        "standard_error": number("SE"),
        "neg_log_10_p_value": p,
        "variant_id": own_id,
        "rsid": pl.when((pl.col("ID") != own_id) & (pl.col("ID") != ".")).then(pl.col("ID")),
        "n": whole("N"),
        "code": code_of_missing(theirs, p, pl.lit(False)),
    }
    if "TEST" in names:
        plain = pl.col("TEST").str.replace(r"^ADD-INT_SNPx(.+)$", "add:$1")
        columns["test"] = renamed(plain, {word: test for test, word in TESTS.items()})
    if "CHISQ" in names:
        joint = pl.col("TEST").str.ends_with("2DF") if "TEST" in names else pl.lit(False)
        root = beta.sign() * number("CHISQ").sqrt()
        columns["statistic"] = pl.when(joint).then(number("CHISQ")).otherwise(root)
    floats = {
        "A1FREQ": "effect_allele_frequency",
        "A1FREQ_CASES": "effect_allele_frequency_cases",
        "A1FREQ_CONTROLS": "effect_allele_frequency_controls",
        "INFO": "info",
    }
    columns |= {column: number(name) for name, column in floats.items() if name in names}
    counts = {"N_CASES": "n_cases", "N_CONTROLS": "n_controls"}
    columns |= {column: whole(name) for name, column in counts.items() if name in names}
    return columns


def _chi2_of_p(neg_log_10_p: pl.Series) -> pl.Series:
    from genassoc.stats.tails import z_from_neg_log_10_p

    x = neg_log_10_p.to_numpy()
    known = np.isfinite(x)
    chi2 = np.full(x.size, np.nan)
    chi2[known] = z_from_neg_log_10_p(x[known]) ** 2
    return pl.Series(neg_log_10_p.name, chi2).fill_nan(None)


def write(group: Group) -> list[pl.Expr]:
    """REGENIE's columns. CHISQ is that of the p (1 degree of freedom), as REGENIE's; of a joint test the statistic."""
    p = pl.col("neg_log_10_p_value")
    chi2 = p.cast(pl.Float64).map_batches(_chi2_of_p, return_dtype=pl.Float64)
    if "statistic" in group.columns:
        chi2 = pl.when(pl.col("test").str.ends_with("_2df")).then(pl.col("statistic")).otherwise(chi2)
    own_id = pl.concat_str("chromosome", "base_pair_location", "other_allele", "effect_allele", separator="_")
    test = renamed(pl.col("test"), TESTS).str.replace(r"^add:(.+)$", "ADD-INT_SNPx$1")
    columns = [
        pl.col("chromosome").alias("CHROM"),
        pl.col("base_pair_location").alias("GENPOS"),
        one_word(pl.col("rsid").fill_null(own_id)).alias("ID"),
        pl.col("other_allele").alias("ALLELE0"),
        pl.col("effect_allele").alias("ALLELE1"),
        pl.col("effect_allele_frequency").alias("A1FREQ"),
        pl.col("n").alias("N"),
        one_word(test).alias("TEST"),
        pl.col("beta").alias("BETA"),
        pl.col("standard_error").alias("SE"),
        chi2.alias("CHISQ"),
        p.alias("LOG10P"),
        pl.when(p.is_null()).then(pl.lit(FAILED)).alias("EXTRA"),
    ]
    if "info" in group.columns:
        quality = pl.coalesce("info", "r2") if "r2" in group.columns else pl.col("info")  # of dosages alone MaCH's r2
        columns.insert(6, quality.alias("INFO"))
    return columns


def trait_of(name: str) -> str:
    """The name without its suffix: traits may hold the underscore that REGENIE puts before them."""
    return DIALECT.stem_of(name)


DIALECT = Dialect(
    name="regenie",
    needs=(("CHROM",), ("GENPOS",), ("ID",), ("ALLELE0",), ("ALLELE1",)),
    numbers=(
        "GENPOS", "A1FREQ", "A1FREQ_CASES", "A1FREQ_CONTROLS", "INFO", "N", "N_CASES", "N_CONTROLS", "BETA", "SE",
        "CHISQ", "LOG10P",
    ),
    read=read,
    write=write,
    separator=" ",
    joint="_",
    suffixes=with_gzip(".regenie", ".txt", ".tsv"),
    trait_of=trait_of,
)  # fmt: skip

"""SAIGE's single-variant results (step 2): one trait a file. Allele2 is the effect allele.

Columns: https://saigegit.github.io/SAIGE-doc/docs/single_step2.html, version 1, and the names of version 0.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from genassoc.formats.sumstats.columns import (
    code_of_missing,
    first_of,
    number,
    one_word,
    p_columns,
    p_text,
    variant_id,
    whole,
)
from genassoc.formats.sumstats.dialect import Dialect, Group, with_gzip

_IDS = ("MarkerID", "SNPID", "rsid")
_WHOLE_WITHIN = 1e-6  # an allele count of 2 n EAF this near to a whole number is one: EAF is a rounded ratio
_NAMES = {  # ours -> SAIGE 1, SAIGE 0
    "effect_allele_frequency_cases": ("AF_case", "AF.Cases"),
    "effect_allele_frequency_controls": ("AF_ctrl", "AF.Controls"),
    "missing_rate": ("MissingRate",),
    "info": ("imputationInfo",),
    "n_cases": ("N_case", "N.Cases"),
    "n_controls": ("N_ctrl", "N.Controls"),
}
_COUNTS = ("n_cases", "n_controls")
_CONVERGED = ("Is.SPA", "Is.SPA.converge")


def read(names: Sequence[str]) -> dict[str, pl.Expr]:
    """The result columns of a file whose header has these names."""
    beta, error = number("BETA"), number("SE")
    p, zero = p_columns("p.value", beta, error)
    own_id = variant_id("CHR", "POS", pl.col("Allele1"), pl.col("Allele2"))
    columns = {
        "chromosome": pl.col("CHR"),
        "base_pair_location": whole("POS"),
        "effect_allele": pl.col("Allele2"),
        "other_allele": pl.col("Allele1"),
        "beta": beta,
        "standard_error": error,
        "neg_log_10_p_value": p,
        "variant_id": own_id,
        "method": _method(names),
        "code": code_of_missing(pl.lit(None, pl.String), p, zero),
    }
    for ours, choices in _NAMES.items():
        theirs = first_of(names, choices)
        if theirs is not None:
            columns[ours] = whole(theirs) if ours in _COUNTS else number(theirs)
    if "N" in names:
        columns["n"] = whole("N")
    elif "n_cases" in columns and "n_controls" in columns:
        columns["n"] = columns["n_cases"] + columns["n_controls"]
    identifier = first_of(names, _IDS)
    if identifier is not None:
        text = pl.col(identifier)
        columns["rsid"] = pl.when((text != own_id) & (text != ".")).then(text)
    if "AF_Allele2" in names:
        frequency = number("AF_Allele2")
        columns["effect_allele_frequency"] = frequency
        if "AC_Allele2" in names:
            count = number("AC_Allele2")
            others = pl.when(frequency > 0).then(count * (1 - frequency) / frequency).otherwise(0.0)
            columns["mac"] = _near_whole(pl.min_horizontal(count, others))
    variance = first_of(names, ("var", "varT"))
    if variance is not None and "Tstat" in names:
        columns["statistic"] = number("Tstat") / number(variance).sqrt()
    return columns


def _method(names: Sequence[str]) -> pl.Expr:
    flag = first_of(names, _CONVERGED)
    if flag is None:
        return pl.lit("score")
    converged = pl.col(flag).str.to_lowercase().is_in(["true", "1"])
    return pl.when(converged).then(pl.lit("spa")).otherwise(pl.lit("score"))


def _near_whole(count: pl.Expr) -> pl.Expr:
    return pl.when((count - count.round()).abs() < _WHOLE_WITHIN).then(count.round()).otherwise(count)


def _p_of_model(rows: pl.Series) -> pl.Series:
    from genassoc.stats.tails import neg_log_10_p_z

    z = rows.to_numpy()
    known = np.isfinite(z)
    p = np.full(z.size, np.nan)
    p[known] = neg_log_10_p_z(z[known])
    return pl.Series(rows.name, p).fill_nan(None)


def write(group: Group) -> list[pl.Expr]:
    """SAIGE's columns: those of binary traits where the table counts cases, else of quantitative ones.

    Tstat and var are the score and its variance that give the row's beta and SE: beta / SE^2 and 1 / SE^2.
    p.value.NA is the p before the saddlepoint: of beta over the information's SE, where the table has it.
    """
    p, error = pl.col("neg_log_10_p_value"), pl.col("standard_error")
    own_id = pl.concat_str("chromosome", "base_pair_location", "other_allele", "effect_allele", separator="_")
    information = pl.when(error > 0).then(1 / (error * error))
    columns = [
        pl.col("chromosome").alias("CHR"),
        pl.col("base_pair_location").alias("POS"),
        one_word(pl.col("rsid").fill_null(own_id)).alias("MarkerID"),
        pl.col("other_allele").alias("Allele1"),
        pl.col("effect_allele").alias("Allele2"),
        _near_whole(2 * pl.col("n") * pl.col("effect_allele_frequency")).alias("AC_Allele2"),
        pl.col("effect_allele_frequency").alias("AF_Allele2"),
        (pl.col("missing_rate") if "missing_rate" in group.columns else pl.lit(None, pl.Float64)).alias("MissingRate"),
        pl.col("beta").alias("BETA"),
        error.alias("SE"),
        (pl.col("beta") * information).alias("Tstat"),
        information.alias("var"),
        p_text(p).alias("p.value"),
    ]
    if not {"n_cases", "n_controls"} <= group.columns:
        return [*columns, pl.col("n").alias("N")]
    spa = (pl.col("method") == "spa").fill_null(False)
    before = p
    if "standard_error_model" in group.columns:
        z = (pl.col("beta") / pl.col("standard_error_model")).map_batches(_p_of_model, return_dtype=pl.Float64)
        before = pl.when(spa).then(z).otherwise(p)
    absent = pl.lit(None, pl.Float64)
    frequencies = [
        (pl.col(ours) if ours in group.columns else absent).alias(theirs)
        for ours, theirs in (
            ("effect_allele_frequency_cases", "AF_case"),
            ("effect_allele_frequency_controls", "AF_ctrl"),
        )
    ]
    return [
        *columns,
        p_text(before).alias("p.value.NA"),
        pl.when(spa).then(pl.lit("true")).otherwise(pl.lit("false")).alias("Is.SPA"),
        *frequencies,
        pl.col("n_cases").alias("N_case"),
        pl.col("n_controls").alias("N_ctrl"),
    ]


def trait_of(name: str) -> str:
    """The name without its suffix."""
    return DIALECT.stem_of(name)


DIALECT = Dialect(
    name="saige",
    needs=(("CHR",), ("POS",), ("Allele1",), ("Allele2",), ("BETA",), ("SE",), ("p.value",)),
    numbers=(
        "POS", "AC_Allele2", "AF_Allele2", "N", "BETA", "SE", "Tstat", "var", "varT", "p.value",
        *(name for names in _NAMES.values() for name in names),
    ),
    read=read,
    write=write,
    one_test=True,
    suffixes=with_gzip(".saige", ".txt", ".tsv"),
    trait_of=trait_of,
)  # fmt: skip

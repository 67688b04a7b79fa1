"""Columns that the dialects of results share, as polars expressions: p as text, alleles, names of variants and tests."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from genassoc.data.result_table import RESULT_SCHEMA

# The columns that every table of results has, in order; others follow where the file holds them.
COLUMNS = (
    "chromosome", "base_pair_location", "effect_allele", "other_allele", "beta", "standard_error", "ci_lower", "ci_upper",
    "effect_allele_frequency", "neg_log_10_p_value", "variant_id", "rsid", "n", "mac", "trait", "test", "method", "code",
)  # fmt: skip
TYPES: dict[str, Any] = {
    **RESULT_SCHEMA,
    "info": pl.Float64,
    "n_cases": pl.Int64,
    "n_controls": pl.Int64,
    "n_events": pl.Int64,
    "effect_allele_frequency_cases": pl.Float64,
    "effect_allele_frequency_controls": pl.Float64,
    "missing_rate": pl.Float64,
    "statistic": pl.Float64,
    "iterations": pl.Int64,
    "standard_error_model": pl.Float64,
}
MISSING_WORDS = ["", "NA", "#NA", "N/A", "NaN", "nan", "NR"]
NO_ESTIMATE = "no_estimate"
UNDERFLOW = "p_underflow"

_LARGEST_PLAIN = 300.0  # -log10 of the smallest p written through a double; below, mantissa and exponent are made apart
_SMALLEST_PARSED = 1e-290  # p above it is parsed as a double with all its digits


def number(name: str) -> pl.Expr:
    """A column of text as float64."""
    return pl.col(name).cast(pl.Float64)


def whole(name: str) -> pl.Expr:
    """A column of text as int64; 489, 489.0 and 4.89e2 are the same."""
    return pl.col(name).cast(pl.Float64).cast(pl.Int64)


def neg_log_10_of_text(name: str) -> pl.Expr:
    """-log10 of p-values written as decimal text, which need not be a double's: "1e-400" is 400; null where p is 0."""
    text = pl.col(name)
    p = text.cast(pl.Float64)
    mantissa = text.str.extract(r"^\+?([0-9.]+)", 1).cast(pl.Float64, strict=False)
    exponent = text.str.extract(r"[eE]([+-]?[0-9]+)$", 1).cast(pl.Int64, strict=False).fill_null(0)
    small = pl.when(mantissa > 0).then(-(mantissa.log10() + exponent))
    return pl.when(p > _SMALLEST_PARSED).then(-p.log10()).otherwise(small) + 0.0  # -0.0 + 0.0 is 0.0


def p_text(neg_log_10_p: pl.Expr) -> pl.Expr:
    """The p-value in decimal, to all its digits however small: 400.5 is "3.1622776601683795e-401"."""
    x = neg_log_10_p
    plain = pl.lit(10.0).pow(-x).cast(pl.String)
    mantissa = pl.lit(10.0).pow(x.ceil() - x).cast(pl.String)
    exponent = x.clip(0.0, 1e15).ceil().cast(pl.Int64).cast(pl.String)
    apart = pl.concat_str(mantissa, pl.lit("e-"), exponent)
    return (
        pl.when(x <= _LARGEST_PLAIN).then(plain).when(x.is_finite()).then(apart).when(x.is_not_null()).then(pl.lit("0"))
    )


def p_of_zero(p: str, beta: pl.Expr, standard_error: pl.Expr) -> pl.Expr:
    """-log10 p of rows whose p a peer printed as 0: from z = beta / SE by the normal tail, null where |z| < 30.

    Four terms of the asymptotic series of Mills' ratio: past |z| = 30 the error of -log10 p is below 1e-10.
    """
    z = (beta / standard_error).abs()
    w = 1 / (z * z)
    series = 1 - w * (1 - 3 * w * (1 - 5 * w))
    ln_p = math.log(2 / math.sqrt(2 * math.pi)) - z * z / 2 - z.log() + series.log()
    zero = pl.col(p).cast(pl.Float64) == 0
    return pl.when(zero & neg_log_10_of_text(p).is_null() & (z >= 30)).then(-ln_p / math.log(10))


def p_columns(p: str, beta: pl.Expr, standard_error: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """-log10 p from a text column of p-values, and whether it was derived because p was printed as 0."""
    parsed = neg_log_10_of_text(p)
    zero = parsed.is_null() & pl.col(p).is_not_null()
    return parsed.fill_null(p_of_zero(p, beta, standard_error)), zero


def name_or_null(name: str) -> pl.Expr:
    """A column of identifiers; a dot, which stands for none, is null."""
    text = pl.col(name)
    return pl.when(text != ".").then(text)


def variant_id(chromosome: str, position: str, reference: pl.Expr, alternative: pl.Expr) -> pl.Expr:
    """chromosome_position_ref_alt."""
    return pl.concat_str(pl.col(chromosome), pl.col(position), reference, alternative, separator="_")


def effect_is_reference() -> pl.Expr:
    """Whether `variant_id` names the effect allele as REF, as in PLINK 2 files whose A1 is REF."""
    swapped = pl.concat_str(pl.lit("_"), pl.col("effect_allele"), pl.lit("_"), pl.col("other_allele"))
    is_swapped = pl.col("variant_id").str.ends_with(swapped) & (pl.col("effect_allele") != pl.col("other_allele"))
    return is_swapped.fill_null(False)


def one_word(text: pl.Expr) -> pl.Expr:
    """Text as one field: runs of white space become an underscore."""
    return text.str.replace_all(r"\s+", "_")


def renamed(text: pl.Expr, names: Mapping[str, str]) -> pl.Expr:
    """``text`` with some values replaced; others stay as they are."""
    return text.replace(dict(names))


def statistic_written(columns: Collection[str]) -> pl.Expr:
    """The row's statistic, else beta / SE."""
    ratio = pl.col("beta") / pl.col("standard_error")
    return pl.col("statistic").fill_null(ratio) if "statistic" in columns else ratio


def code_of_missing(code: pl.Expr, p: pl.Expr, zero: pl.Expr) -> pl.Expr:
    """``code``, with a code for rows without p and reason, and for rows whose p was printed as 0."""
    return (
        pl.when(zero)
        .then(code.fill_null(UNDERFLOW))
        .when(p.is_null())
        .then(code.fill_null(NO_ESTIMATE))
        .otherwise(code)
    )


def in_order(found: Mapping[str, pl.Expr], trait: str) -> list[pl.Expr]:
    """The result columns of ``found`` with their names and types, the common ones always, in canonical order."""
    columns = {"trait": pl.lit(trait), "test": pl.lit("add"), **found}
    further = [name for name in columns if name not in COLUMNS]
    known = sorted((name for name in further if name in TYPES), key=list(TYPES).index)
    order = [*COLUMNS, *known, *(name for name in further if name not in TYPES)]
    return [
        columns.get(name, pl.lit(None)).cast(TYPES.get(name, pl.String)).alias(name)
        for name in order
    ]  # fmt: skip


def first_of(names: Collection[str], choices: Sequence[str]) -> str | None:
    """The first of ``choices`` that is among ``names``."""
    return next((name for name in choices if name in names), None)

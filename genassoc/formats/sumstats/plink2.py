"""PLINK 2's ``--glm`` results: ``.glm.linear``, ``.glm.logistic``, ``.glm.logistic.hybrid``, ``.glm.firth``.

Columns: https://www.cog-genomics.org/plink/2.0/formats#glm_linear and #glm_logistic.
"""

import re
from collections.abc import Sequence

import polars as pl

from genassoc.formats.sumstats.columns import (
    code_of_missing,
    effect_is_reference,
    first_of,
    name_or_null,
    neg_log_10_of_text,
    number,
    one_word,
    p_columns,
    p_text,
    renamed,
    statistic_written,
    variant_id,
    whole,
)
from genassoc.formats.sumstats.dialect import Dialect, Group, with_gzip

TESTS = {
    "add": "ADD",
    "dom": "DOM",
    "rec": "REC",
    "hetonly": "HETONLY",
    "domdev": "DOMDEV",
    "geno_2df": "GENO_2DF",
    "joint_2df": "JOINT_2DF",
}
# Codes without an equal of PLINK 2's are written in capitals, and its others read in small letters.
CODES = {
    "monomorphic": "CONST_OMITTED_ALLELE",
    "constant_genotype": "CONST_ALLELE",
    "n_too_small": "SAMPLE_CT<=PREDICTOR_CT",
    "collinear": "VIF_INFINITE",
    "no_estimate": "INVALID_RESULT",
    "not_converged": "LOGISTIC_CONVERGE_FAIL",
}
_OTHER_CODES = {"FIRTH_CONVERGE_FAIL": "not_converged", "RANK_DEFICIENT": "collinear"}
_STUDENTS = {"t", "f", "t_hc3", "f_hc3", "t_hc0", "f_hc0"}  # methods whose statistic is Student's t or F
_STATISTICS = ("T_STAT", "Z_STAT", "T_OR_F_STAT", "Z_OR_F_STAT", "Z_OR_CHISQ_STAT", "F_STAT", "STAT")
_LOG_P = ("LOG10_P", "NEG_LOG10_P")
_SUFFIXES = (".glm.linear", ".glm.logistic.hybrid", ".glm.logistic", ".glm.firth", ".txt", ".tsv")


def _alleles(names: Sequence[str]) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Other allele, REF, and ALT as this row has it, by name: A1 is the effect allele wherever it comes from."""
    a1, ref, alt = pl.col("A1"), pl.col("REF"), pl.col("ALT")
    if "REF" in names and "ALT" in names:
        beside = pl.when(a1 == ref).then(alt).when(alt.str.split(",").list.contains(a1)).then(ref)
        other = pl.col("OMITTED").fill_null(beside) if "OMITTED" in names else beside
        return other, ref, pl.when(a1 == ref).then(other).otherwise(a1)
    other = pl.col(first_of(names, ("OMITTED", "AX")) or "")
    return other, other, a1


def read(names: Sequence[str]) -> dict[str, pl.Expr]:
    """The result columns of a file whose header has these names."""
    other, reference, alternative = _alleles(names)
    is_ratio = "BETA" not in names
    beta = number("OR").log() if is_ratio else number("BETA")
    error = number("SE" if "SE" in names else "LOG(OR)_SE")
    log_p = first_of(names, _LOG_P)
    if log_p is not None:
        # -log10 p is never negative and log10 p never positive, so the sign can be dropped.
        p, zero = number(log_p).abs(), pl.lit(False)
    else:
        p, zero = p_columns("P", beta, error) if "P" in names else (pl.lit(None, pl.Float64), pl.lit(False))
    columns = {
        "chromosome": pl.col("CHROM"),
        "base_pair_location": whole("POS"),
        "effect_allele": pl.col("A1"),
        "other_allele": other,
        "beta": beta,
        "standard_error": error,
        "neg_log_10_p_value": p,
        "variant_id": variant_id("CHROM", "POS", reference, alternative),
        "n": whole("OBS_CT"),
        "test": renamed(
            pl.col("TEST").str.replace(r"^ADDx(.+)$", "add:$1"), {theirs: ours for ours, theirs in TESTS.items()}
        ),
        "method": _method(names),
    }
    if "ID" in names:
        columns["rsid"] = name_or_null("ID")
    for name, column in (("L95", "ci_lower"), ("U95", "ci_upper")):
        if name in names:
            columns[column] = number(name).log() if is_ratio else number(name)
    plain = {
        "A1_FREQ": "effect_allele_frequency",
        "A1_CASE_FREQ": "effect_allele_frequency_cases",
        "A1_CTRL_FREQ": "effect_allele_frequency_controls",
        "MACH_R2": "info",
    }
    columns |= {column: number(name) for name, column in plain.items() if name in names}
    statistic = first_of(names, _STATISTICS)
    if statistic is not None:
        columns["statistic"] = number(statistic)
    columns["code"] = code_of_missing(_code(names), p, zero)
    return columns


def _code(names: Sequence[str]) -> pl.Expr:
    if "ERRCODE" not in names:
        return pl.lit(None, pl.String)
    word = name_or_null("ERRCODE").str.split(",").list.first()
    ours = {**_OTHER_CODES, **{theirs: code for code, theirs in CODES.items()}}
    return renamed(word, ours).str.to_lowercase()


def _method(names: Sequence[str]) -> pl.Expr:
    if "T_STAT" in names or "T_OR_F_STAT" in names:
        joint = pl.col("TEST").str.ends_with("_2DF") | pl.col("TEST").str.ends_with("DF")
        return pl.when(joint).then(pl.lit("f")).otherwise(pl.lit("t"))
    if "FIRTH?" in names:
        return pl.when(pl.col("FIRTH?") == "Y").then(pl.lit("firth")).otherwise(pl.lit("wald"))
    return pl.lit(None, pl.String)


def write(group: Group) -> list[pl.Expr]:
    """The columns of ``.glm.linear`` where every statistic is t or F, else of ``.glm.logistic.hybrid`` with betas."""
    swapped = effect_is_reference()
    effect, other = pl.col("effect_allele"), pl.col("other_allele")
    linear = group.methods <= _STUDENTS
    kind = "T" if linear else "Z"
    joint = any(test.endswith("_2df") for test in group.tests)
    test = renamed(pl.col("test"), TESTS).str.replace(r"^add:(.+)$", "ADDx$1")
    code = renamed(pl.col("code"), CODES)
    if not linear:
        firth = pl.col("method").str.starts_with("firth").fill_null(False)
        failed = firth & (pl.col("code") == "not_converged").fill_null(False)
        code = pl.when(failed).then(pl.lit("FIRTH_CONVERGE_FAIL")).otherwise(code)
    columns = [
        pl.col("chromosome").alias("#CHROM"),
        pl.col("base_pair_location").alias("POS"),
        one_word(pl.col("rsid")).fill_null(".").alias("ID"),
        pl.when(swapped).then(effect).otherwise(other).alias("REF"),
        pl.when(swapped).then(other).otherwise(effect).alias("ALT"),
        effect.alias("A1"),
        other.alias("OMITTED"),
        pl.col("effect_allele_frequency").alias("A1_FREQ"),
        one_word(test).alias("TEST"),
        pl.col("n").alias("OBS_CT"),
        pl.col("beta").alias("BETA"),
        pl.col("standard_error").alias("SE"),
        statistic_written(group.columns).alias(f"{kind}_OR_F_STAT" if joint else f"{kind}_STAT"),
        p_text(pl.col("neg_log_10_p_value")).alias("P"),
        one_word(code.str.to_uppercase()).fill_null(".").alias("ERRCODE"),
    ]
    if not linear:
        columns.insert(8, pl.when(firth).then(pl.lit("Y")).otherwise(pl.lit("N")).alias("FIRTH?"))
    return columns


def trait_of(name: str) -> str:
    """ "cohort.ldl.glm.linear.gz" -> "ldl"."""
    match = re.search(r"([^.]+)\.glm\.", name)
    return match.group(1) if match else DIALECT.stem_of(name)


DIALECT = Dialect(
    name="plink2",
    needs=(
        ("CHROM",),
        ("POS",),
        ("A1",),
        ("TEST",),
        ("OBS_CT",),
        ("OMITTED", "REF", "AX"),
        ("OMITTED", "ALT", "AX"),
        ("BETA", "OR"),
        ("SE", "LOG(OR)_SE"),
    ),
    numbers=(
        "POS", "A1_FREQ", "A1_CASE_FREQ", "A1_CTRL_FREQ", "MACH_R2", "OBS_CT", "BETA", "OR", "SE", "LOG(OR)_SE", "L95",
        "U95", "P", *_LOG_P, *_STATISTICS,
    ),
    read=read,
    write=write,
    suffixes=with_gzip(*_SUFFIXES),
    trait_of=trait_of,
)  # fmt: skip

__all__ = ["CODES", "DIALECT", "TESTS", "neg_log_10_of_text", "read", "write"]

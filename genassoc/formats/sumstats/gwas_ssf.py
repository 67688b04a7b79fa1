"""GWAS-SSF 1.0.2, the format of the GWAS Catalog: eight mandatory columns in order, then others.

Hayhurst J et al. (2022), A community driven GWAS summary statistics standard, bioRxiv 2022.07.15.500230;
https://github.com/EBISPOT/gwas-summary-statistics-standard. Validator: ``gwas-ssf validate``.
"""

from collections.abc import Sequence

import polars as pl

from genassoc.data.cohort.contigs import from_gwas_ssf, gwas_ssf_code
from genassoc.formats.sumstats.columns import TYPES, code_of_missing, first_of, number, p_columns, whole
from genassoc.formats.sumstats.dialect import Dialect, Group, with_gzip

VERSION = "GWAS-SSF v1.0.2"
EFFECTS = ("beta", "odds_ratio", "hazard_ratio")
_OF_COX = "effect_allele_frequency_events"  # a column of Cox models' rows alone, whose beta is a log hazard ratio
P_VALUES = ("neg_log_10_p_value", "p_value")
# The encouraged columns, in the standard's order, then ours.
_ENCOURAGED = ("variant_id", "rsid", "ref_allele", "ci_upper", "ci_lower", "info", "n")
_MANDATORY = (
    "chromosome", "base_pair_location", "effect_allele", "other_allele", "beta", "standard_error",
    "effect_allele_frequency", "neg_log_10_p_value",
)  # fmt: skip
IDENTIFIER = "vcf_id"  # further column for identifiers that are no rs number, which `rsid` may not hold
# The validator refuses -log10 p = 0, a rule meant for p = 0. This text passes, and every parser of doubles reads it as 0.
_ZERO = "1e-400"


def chromosome_code() -> pl.Expr:
    """1 to 25, null for other contigs; see `genassoc.data.cohort.contigs.gwas_ssf_code`."""
    return gwas_ssf_code()


def not_held() -> pl.Expr:
    """The reason why the format cannot hold a row; null if it can."""
    nucleotides = r"^[ACGTacgt]+$"
    alleles = pl.col("effect_allele").str.contains(nucleotides) & pl.col("other_allele").str.contains(nucleotides)
    fine = [
        ("no_effect", pl.col("beta").is_finite()),
        ("no_standard_error", pl.col("standard_error").is_finite()),
        ("no_p_value", pl.col("neg_log_10_p_value").is_finite()),
        ("no_effect_allele_frequency", pl.col("effect_allele_frequency").is_finite()),
        ("allele_not_acgt", alleles),
        ("unknown_chromosome", chromosome_code().is_not_null()),
        ("no_position", pl.col("base_pair_location") >= 0),
    ]
    reason = pl.lit(None, pl.String)
    for name, holds in reversed(fine):
        reason = pl.when(holds.fill_null(False)).then(reason).otherwise(pl.lit(name))
    return reason


def write(group: Group) -> list[pl.Expr]:
    """The columns of a GWAS-SSF file, over rows that it can hold.

    Of Cox models the effect is ``hazard_ratio``, with its interval; ``standard_error`` stays that of its logarithm.
    """
    p = pl.col("neg_log_10_p_value")
    variant, identifier = pl.col("variant_id"), pl.col("rsid")
    swapped = pl.concat_str(pl.lit("_"), pl.col("effect_allele"), pl.lit("_"), pl.col("other_allele"))
    straight = pl.concat_str(pl.lit("_"), pl.col("other_allele"), pl.lit("_"), pl.col("effect_allele"))
    read_swapped = pl.when(variant.str.ends_with(swapped)).then(pl.lit("EA"))
    reference = pl.when(variant.str.ends_with(straight)).then(pl.lit("OA")).otherwise(read_swapped)
    special = {
        "chromosome": chromosome_code(),
        "neg_log_10_p_value": pl.when(p == 0).then(pl.lit(_ZERO)).otherwise(p.cast(pl.String)),
        "variant_id": pl.when(variant.str.contains(r"^[A-Za-z0-9_]+$")).then(variant),
        "rsid": pl.when(identifier.str.contains(r"^rs[0-9]+$")).then(identifier),
        "ref_allele": reference,
    }
    if {
        "info",
        "r2",
    } <= group.columns:  # of dosages without probabilities MaCH's r2 is what imputation programs state as well
        special["info"] = pl.coalesce("info", "r2")
    ours = [name for name in TYPES if name in group.columns]
    ours += sorted(group.columns - {*ours, "ref_allele", IDENTIFIER})
    have = group.columns | {"ref_allele"}
    order = [*_MANDATORY, *(name for name in _ENCOURAGED if name in have)]
    order += [name for name in ours if name not in order]
    names = {}
    if _OF_COX in group.columns:
        names["beta"] = "hazard_ratio"
        special |= {name: pl.col(name).exp() for name in ("beta", "ci_lower", "ci_upper")}
    columns = [special.get(name, pl.col(name)).alias(names.get(name, name)) for name in order]
    if group.other_ids:
        columns.append(identifier.alias(IDENTIFIER))
    return columns


def read(names: Sequence[str]) -> dict[str, pl.Expr]:
    """The result columns of a file whose header has these names; 23, 24, 25 become X, Y, MT."""
    effect = first_of(names, EFFECTS) or "beta"
    logarithm = effect != "beta"
    beta = number(effect).log() if logarithm else number(effect)
    error = number("standard_error")
    if "neg_log_10_p_value" in names:
        p, zero = number("neg_log_10_p_value") + 0.0, pl.lit(False)
    else:
        p, zero = p_columns("p_value", beta, error)
    code = pl.col("code") if "code" in names else pl.lit(None, pl.String)
    chromosome = from_gwas_ssf()
    columns = {
        "chromosome": chromosome,
        "base_pair_location": whole("base_pair_location"),
        "effect_allele": pl.col("effect_allele"),
        "other_allele": pl.col("other_allele"),
        "beta": beta,
        "standard_error": error,
        "neg_log_10_p_value": p,
        "variant_id": _variant_id(names, chromosome),
        "code": code_of_missing(code, p, zero),
    }
    for name in ("ci_lower", "ci_upper"):
        if name in names:
            columns[name] = number(name).log() if logarithm else number(name)
    if "rsid" in names:
        columns["rsid"] = pl.col("rsid")
    if IDENTIFIER in names:
        columns["rsid"] = pl.col(IDENTIFIER)
    for name in names:
        if name in TYPES and name not in columns:
            kind = TYPES[name]
            columns[name] = pl.col(name) if kind == pl.String else (whole(name) if kind == pl.Int64 else number(name))
    return columns


def _variant_id(names: Sequence[str], chromosome: pl.Expr) -> pl.Expr:
    effect, other = pl.col("effect_allele"), pl.col("other_allele")
    if "ref_allele" in names:
        swapped = (pl.col("ref_allele") == "EA").fill_null(False)
        effect, other = pl.when(swapped).then(other).otherwise(effect), pl.when(swapped).then(effect).otherwise(other)
    made = pl.concat_str(chromosome, pl.col("base_pair_location"), other, effect, separator="_")
    return pl.col("variant_id").fill_null(made) if "variant_id" in names else made


def trait_of(name: str) -> str:
    """The name without its suffix."""
    return DIALECT.stem_of(name)


DIALECT = Dialect(
    name="gwas-ssf",
    needs=(
        ("chromosome",),
        ("base_pair_location",),
        ("effect_allele",),
        ("other_allele",),
        EFFECTS,
        ("standard_error",),
        P_VALUES,
    ),
    numbers=(
        *EFFECTS, *P_VALUES, "odds_ratio", "hazard_ratio",
        *(name for name, kind in TYPES.items() if kind != pl.String and name not in (*EFFECTS, *P_VALUES)),
    ),
    read=read,
    write=write,
    missing="#NA",
    one_test=True,
    suffixes=with_gzip(".tsv"),
    only_suffixes=True,
    reason=not_held(),
    trait_of=trait_of,
)  # fmt: skip


def is_in_order(names: Sequence[str]) -> bool:
    """Whether the first eight columns are GWAS-SSF's: what tells its files from genassoc's own tables."""
    expected = [*_MANDATORY[:4], EFFECTS, *_MANDATORY[5:7], P_VALUES]
    return len(names) >= 8 and all(
        name in choice if isinstance(choice, tuple) else name == choice for name, choice in zip(names, expected)
    )

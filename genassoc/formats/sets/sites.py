"""An annotated sites VCF: ID, alleles and one INFO field of its records; sample columns are not looked at."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genassoc.data.sets.variant_sets import VARIANT
from genassoc.errors import InputError
from genassoc.formats.annotations import subfields_of
from genassoc.formats.sets.text import header_lines, read_lines

_N_FIXED = 8
_SHOWN = 20  # fields in a message


def subfields_in(path: Path, name: str) -> str:
    """What the values of an INFO field consist of, by the header of a VCF; "" where it does not tell.

    Raises
    ------
    InputError
        It is no VCF, or its header does not declare the field (names those that it does).
    """
    known: list[str] = []
    declared: bytes | None = None
    first = b""
    for line in header_lines(path):
        first = first or line
        if found := re.match(rb"##INFO=<(?:.*,)?ID=([^,>]+)", line):
            if found[1] == name.encode():
                declared = line
            elif len(known) < _SHOWN:
                known.append(found[1][:80].decode("utf-8", "replace"))
    if not first.startswith(b"##fileformat=VCF"):
        more = "; make a VCF of a BCF: bcftools view" if first.startswith(b"BCF") else ""
        raise InputError(f"{path} is no VCF: its first line is '{first[:40].decode('utf-8', 'replace')}'{more}")
    if declared is None:
        shown = ", ".join(known) or "none"
        raise InputError(
            f"{path}: its header declares no INFO field {name} (it declares {shown}): annotate it with VEP (CSQ) or SnpEff (ANN)"
        )
    return subfields_of(declared)


def declares(path: Path, name: str) -> bool:
    """Whether the header of a VCF declares an INFO field."""
    return any(
        re.match(rb"##INFO=<(?:.*,)?ID=" + re.escape(name.encode()) + rb"[,>]", line) for line in header_lines(path)
    )


def read_sites(path: Path, name: str) -> Iterator[pl.DataFrame]:
    """Rows of a VCF, one an ALT, some ten thousands at a time: variant (chromosome_position_ref_alt), alt_index, full, trimmed, value.

    Raises
    ------
    InputError
        A line is none of a VCF (names it).
    """
    for lines in read_lines(path, blanks=False):
        cells = lines.fields(_N_FIXED)
        if f"field_{_N_FIXED - 1}" not in cells.columns:
            raise InputError(f"{path}:{lines.numbers[0]}: is no record of a VCF: it has fewer than {_N_FIXED} columns")
        lines.refuse(
            cells[f"field_{_N_FIXED - 1}"].is_null(), f"is no record of a VCF: it has fewer than {_N_FIXED} columns"
        )
        lines.refuse(
            ~cells["field_1"].str.contains(r"^[0-9]{1,12}$"), "the second column, the position, is no whole number"
        )
        yield by_allele(
            cells.select(
                pl.col("field_0").alias("chromosome"),
                pl.col("field_1").alias("position"),
                pl.col("field_3").alias("ref"),
                pl.col("field_4").str.split(",").alias("alts"),
                pl.col("field_7").str.extract(rf"(?:^|;){re.escape(name)}=([^;]*)").alias("value"),
            )
        )


def by_allele(records: pl.DataFrame) -> pl.DataFrame:
    """A row for each ALT of records (chromosome, position, ref, alts, value); ``*`` and "." are none."""
    rows = (
        records.with_columns(alt_index=pl.int_ranges(1, pl.col("alts").list.len() + 1))
        .with_row_index("record")
        .explode("alts", "alt_index")
        .rename({"alts": "alt"})
    )
    return named_alleles(rows)


def named_alleles(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows (chromosome, position, ref, alt, alt_index, record, value) with names of variants, and of ALTs as VEP writes them.

    VEP leaves the first base out where an allele of the record has another length than REF and all begin with the same base.
    """
    alt, ref = pl.col("alt"), pl.col("ref")
    real = alt != "*"
    begins = (alt.str.slice(0, 1) == ref.str.slice(0, 1)) | ~real
    longer = (alt.str.len_bytes() != ref.str.len_bytes()) & real
    share = begins.all().over("record") & longer.any().over("record")
    short = pl.when(alt.str.len_bytes() > 1).then(alt.str.slice(1)).otherwise(pl.lit("-"))
    place = pl.concat_str(["chromosome", "position", "ref", "alt"], separator="_")
    named = rows.select(
        place.alias(VARIANT),
        "alt_index",
        pl.when(share).then(short).otherwise(alt).alias("full"),
        pl.when(share).then(alt).when(begins).then(short).alias("trimmed"),
        "value",
        (real & (alt != ".")).alias("real"),
    )
    return named.filter("real").drop("real")

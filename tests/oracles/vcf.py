"""Slow twin of `genassoc.kernels.text.vcf`: VCF text to rows with split(), one call at a time."""

import re
from dataclasses import dataclass, field


@dataclass
class OracleRow:
    """One row of the store."""

    contig: str
    position: int
    ref: str
    alt: str
    rsid: str | None
    record: int
    alt_index: int
    codes: list[int]
    haploid: list[bool]


@dataclass
class OracleScan:
    """Rows and counters of a text."""

    samples: list[str]
    rows: list[OracleRow] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    half_calls: dict[str, int] = field(default_factory=dict)


def _call(text: str) -> tuple[list[str], str]:
    """Alleles of a genotype and what kind of call it is."""
    if not re.fullmatch(r"[/|]?(\.|\d+)([/|](\.|\d+))*", text):
        raise ValueError(f"no genotype: {text}")
    alleles = re.split(r"[/|]", text.lstrip("/|"))
    if len(alleles) > 2:
        return alleles, "missing" if set(alleles) == {"."} else "polyploid"
    if "." in alleles:
        return alleles, "missing" if set(alleles) == {"."} else "half_missing"
    return alleles, "haploid" if len(alleles) == 1 else "diploid"


def scan(text: str, regions: list[tuple[str, int, int]] | None = None) -> OracleScan:
    """Rows of a whole VCF; ValueError where it is malformed."""
    result = OracleScan([])
    counts = dict.fromkeys(
        ("records", "split", "no_genotypes", "no_alternate_allele", "reference_block_allele",
         "haploid", "half_missing", "polyploid"), 0,
    )  # fmt: skip
    result.counts = counts
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith("#CHROM"):
            result.samples = line.split("\t")[9:]
        if not line or line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != 9 + len(result.samples):
            raise ValueError("columns")
        contig, position, rsid, ref, alt = columns[0], int(columns[1]), columns[2], columns[3], columns[4]
        if regions and not any(contig == c and a <= position <= b for c, a, b in regions):
            continue
        record = counts["records"]
        counts["records"] += 1
        names = columns[8].split(":")
        if "GT" not in names:
            counts["no_genotypes"] += 1
            continue
        if alt == ".":
            counts["no_alternate_allele"] += 1
            continue
        alts = alt.split(",")
        at = names.index("GT")
        calls = []
        for value in columns[9:]:
            fields = value.split(":")
            alleles, kind = _call(fields[at]) if at < len(fields) else (["."], "missing")
            if any(a != "." and int(a) > len(alts) for a in alleles):
                raise ValueError("allele")
            calls.append((alleles, kind))
        kept = 0
        for k, allele in enumerate(alts, start=1):
            if allele in ("<*>", "<NON_REF>"):
                counts["reference_block_allele"] += 1
                continue
            kept += 1
            codes = []
            for alleles, kind in calls:
                if kind in ("diploid", "haploid"):
                    count = sum(int(a) == k for a in alleles)
                    codes.append(2 * count if kind == "haploid" else count)
                else:
                    codes.append(3)
            special = contig in ("X", "Y", "MT")
            haploid = [kind == "haploid" or (special and kind == "half_missing") for _, kind in calls]
            name = None if rsid == "." else rsid
            result.rows.append(OracleRow(contig, position, ref, allele, name, record, k, codes, haploid))
        counts["split"] += kept > 1
        for _, kind in calls:
            if kept and kind in counts:
                counts[kind] += 1
            if kept and kind == "half_missing":
                result.half_calls[contig] = result.half_calls.get(contig, 0) + 1
    return result

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


def _local_call(fields: dict[str, str]) -> tuple[list[str], str]:
    """Alleles of LGT by the list of LAA, or of LA, which has REF too."""
    alleles, kind = _call(fields["LGT"]) if "LGT" in fields else (["."], "missing")
    listed = fields["LAA"] if "LAA" in fields else fields.get("LA", ".")
    named = [] if listed == "." else listed.split(",")
    named = ["0", *named] if "LAA" in fields or not named else named
    return ["." if a == "." else named[int(a)] for a in alleles], kind


def dosages_read(text: str) -> set[str]:
    """Fields of dosages that the header declares, or the first record has."""
    found, fields = set(), ("DS", "HDS", "GP")
    for line in text.split("\n"):
        if line.startswith("##FORMAT="):
            found |= {name for name in fields if re.search(f"[<,]ID={name}[,>]", line)}
            if "ID=GP," in line and "phred" in line.lower():
                fields = ("DS", "HDS")
                found -= {"GP"}
        elif line and not line.startswith("#"):
            columns = line.split("\t", 9)
            return found | (set(columns[8].split(":")) & set(fields) if len(columns) > 9 else set())
    return found


def scan(text: str, regions: list[tuple[str, int, int]] | None = None) -> OracleScan:
    """Rows of a whole VCF; ValueError where it is malformed."""
    result = OracleScan([])
    counts = dict.fromkeys(
        ("records", "split", "no_genotypes", "no_alternate_allele", "reference_block_allele",
         "haploid", "half_missing", "polyploid"), 0,
    )  # fmt: skip
    result.counts = counts
    read = dosages_read(text)
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
        local = {"LGT", "LAA"} <= set(names) or {"LGT", "LA"} <= set(names)
        of_haplotypes = read & set(names) == {"HDS"}
        if "GT" not in names and not local and (not read & set(names) or alt == "." or ("," in alt and of_haplotypes)):
            counts["no_genotypes"] += 1
            continue
        if alt == ".":
            counts["no_alternate_allele"] += 1
            continue
        alts = alt.split(",")
        at = names.index("GT") if "GT" in names else len(names)
        calls = []
        for value in columns[9:]:
            fields = value.split(":")
            if local and at == len(names):
                calls.append(_local_call(dict(zip(names, fields))))
                continue
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
            special = contig in ("X", "Y", "MT")
            for alleles, kind in calls:
                if kind in ("diploid", "haploid"):
                    count = sum(int(a) == k for a in alleles)
                    codes.append(2 * count if kind == "haploid" else count)
                elif kind == "half_missing" and special and str(k) in alleles:
                    codes.append(1)
                else:
                    codes.append(3)
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

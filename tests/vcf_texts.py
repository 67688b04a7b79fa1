"""Small VCF texts for tests: random ones of every shape, and how to write them to disk."""

import gzip
from pathlib import Path

import numpy as np

HEADER = (
    "##fileformat=VCFv4.2\n"
    "##contig=<ID=1>\n##contig=<ID=2>\n##contig=<ID=X>\n"
    '##INFO=<ID=AC,Number=A,Type=Integer,Description="Allele count">\n'
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    '##FORMAT=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    '##FORMAT=<ID=GL,Number=G,Type=Float,Description="Likelihoods">\n'
    '##FORMAT=<ID=FT,Number=1,Type=String,Description="Filter">\n'
)


def header(samples: list[str]) -> str:
    """Header for samples."""
    names = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples])
    return HEADER + names + "\n"


def random_vcf(seed: int, n_samples: int, n_records: int, plain_share: float = 0.5, leading_phase: bool = False) -> str:
    """A VCF with records of every shape the store must get right; ``plain_share`` of them diploid, GT only.

    ``leading_phase``: some calls begin with a separator (VCF 4.4; htslib 1.24 writes them wrongly to BCF).
    """
    rng = np.random.default_rng(seed)
    lines = [header([f"s{i}" for i in range(n_samples)])]
    position = 0
    for r in range(n_records):
        position += int(rng.integers(0, 500))
        contig = "1" if r < n_records // 2 else "X"
        if r == n_records // 2:
            position = 1
        plain = rng.random() < plain_share
        n_alts = 1 if plain else int(rng.choice([0, 1, 1, 2, 3, 12]))
        alts = [("A", "AC", "<DEL>", "*", "<*>", "<NON_REF>", "ACGTT")[int(rng.integers(7))] for _ in range(n_alts)]
        if plain:
            alts = ["G"]
        names = ["GT"]
        if not plain:
            names = [["GT"], ["GT", "DP"], ["DP", "GT", "FT"], ["GL", "GT"], ["DP"], ["GT", "GL", "FT"]][
                int(rng.integers(6))
            ]
        calls = [_value(rng, names, n_alts, plain, leading_phase) for _ in range(n_samples)]
        rsid = "." if rng.random() < 0.3 else f"rs{r};éx{r}"
        lines.append(
            "\t".join([contig, str(position), rsid, "ACG"[: int(rng.integers(1, 4))], ",".join(alts) or ".",
                       ".", "PASS", "AC=1;DP=10", ":".join(names), *calls]) + "\n"
        )  # fmt: skip
    return "".join(lines)


def _value(rng: np.random.Generator, names: list[str], n_alts: int, plain: bool, leading_phase: bool) -> str:
    fields = []
    for name in names:
        if name == "GT":
            fields.append(_genotype(rng, n_alts, plain, leading_phase))
        elif name == "DP":
            fields.append(str(rng.integers(0, 300)) if rng.random() < 0.8 else ".")
        elif name == "GL":
            fields.append("-1.5e-3,0,-inf" if rng.random() < 0.8 else ".")
        else:
            fields.append("PASS/x|y")
    if len(fields) > 1 and rng.random() < 0.2:
        fields = fields[: int(rng.integers(1, len(fields) + 1))]
        if len(fields) == 1 and names[0] != "GT":
            fields = ["."]
    return ":".join(fields)


def _genotype(rng: np.random.Generator, n_alts: int, plain: bool, leading_phase: bool) -> str:
    def allele() -> str:
        return "." if rng.random() < 0.1 else str(rng.integers(0, n_alts + 1))

    separator = "/" if rng.random() < 0.5 else "|"
    shape = rng.random()
    if plain or shape < 0.6:
        return allele() + separator + allele()
    if shape < 0.8:
        return allele()
    if shape < 0.85:
        return "."
    if shape < 0.9:
        return (separator if leading_phase else "") + allele() + separator + allele()
    return separator.join(allele() for _ in range(3))


def write_gzip(path: Path, text: str) -> Path:
    """Plain gzip, not BGZF."""
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def write_bgzf(path: Path, text: str, index: str | None = None) -> Path:
    """BGZF by htslib, with an index if asked for ("tbi" or "csi")."""
    import pysam

    plain = path.with_name(path.name + ".plain")
    plain.write_text(text, encoding="utf-8")
    pysam.tabix_compress(str(plain), str(path), force=True)
    plain.unlink()
    if index is not None:
        pysam.tabix_index(str(path), preset="vcf", force=True, csi=index == "csi")
    return path


def write_bcf(path: Path, vcf: Path, index: bool = False) -> Path:
    """BCF of a VCF, by the bcftools inside pysam (pysam's own writer mangles the second record)."""
    import pysam
    import pysam.bcftools

    pysam.bcftools.view("-Ob", "-o", str(path), str(vcf), catch_stdout=False)
    if index:
        pysam.tabix_index(str(path), preset="bcf", force=True, csi=True)
    return path

"""Every command of docs/sources.md on a small imitation of its source."""

import re
import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pysam
import pytest
from plink_files import plink2, random_codes, write_fileset
from vcf_texts import write_bcf, write_bgzf

import genassoc as ga
from genassoc.formats.inputs import SOURCES

PAGE = Path(__file__).parents[1] / "docs" / "sources.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ")
][1:]
COMMANDS = {row[0]: row[1].strip("`") for row in ROWS}
N = 12
NAMES = [f"S{i}" for i in range(N)]
RNG = np.random.default_rng(4)


def vcf_text(contig, fields, value, *, filters=("PASS",), header="", names=NAMES, info=".", n=6, first=10_000_001):
    """Records of one contig; ``value(record)`` is a sample's."""
    head = "##fileformat=VCFv4.2\n" + header
    for name in ("GT", "LGT"):
        head += f'##FORMAT=<ID={name},Number=1,Type=String,Description="">\n'
    for name, number, kind in (
        ("DS", "A", "Float"),
        ("HDS", ".", "Float"),
        ("GP", "G", "Float"),
        ("GQ", "1", "Integer"),
        ("DP", "1", "Integer"),
        ("AD", "R", "Integer"),
        ("RNC", "2", "Character"),
        ("LAA", ".", "Integer"),
    ):
        head += f'##FORMAT=<ID={name},Number={number},Type={kind},Description="">\n'
    for name in ("R2", "DR2"):
        head += f'##INFO=<ID={name},Number=1,Type=Float,Description="">\n'
    head += '##INFO=<ID=END,Number=1,Type=Integer,Description="">\n'
    head += "".join(f'##FILTER=<ID={name},Description="">\n' for name in dict.fromkeys(filters) if name != "PASS")
    head += f"##contig=<ID={contig}>\n" if f"<ID={contig}," not in head else ""
    lines = ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names])]
    for r in range(n):
        calls = "\t".join(value(r) for _ in names)
        lines.append(f"{contig}\t{first + 10 * r}\t.\tA\tC\t.\t{filters[r % len(filters)]}\t{info}\t{fields}\t{calls}")
    return head + "\n".join(lines) + "\n"


def call(_=0):
    return ("0/0", "0/1", "1/1", "./.")[int(RNG.choice(4, p=[0.5, 0.3, 0.15, 0.05]))]


def minimac(_=0):
    haplotypes = np.round(RNG.random(2), 3)
    a, b = haplotypes
    probabilities = (1 - a) * (1 - b), a * (1 - b) + b * (1 - a), a * b
    alleles = "|".join(str(int(h > 0.5)) for h in haplotypes)
    return f"{alleles}:{a + b:.3f}:{a:.3f},{b:.3f}:" + ",".join(f"{p:.3f}" for p in probabilities)


def michigan(folder):
    for chromosome in ("chr2", "chr10"):
        text = vcf_text(chromosome, "GT:DS:HDS:GP", minimac, info="R2=0.87", header=f"##contig=<ID={chromosome}>\n")
        write_bgzf(folder / f"{chromosome}.dose.vcf.gz", text)
    return 12


def beagle(folder):
    value = lambda _: f"0|1:{RNG.random() + 0.5:.2f}"  # noqa: E731
    for chromosome in ("2", "10"):
        write_bgzf(folder / f"imputed.chr{chromosome}.vcf.gz", vcf_text(chromosome, "GT:DS", value, info="DR2=0.9"))
    return 12


def uk_biobank_imputed(folder):
    for chromosome in ("1", "2"):
        (folder / "a.vcf").write_text(vcf_text(chromosome, "GT", call))
        name = f"ukb22828_c{chromosome}_b0_v3"
        plink2("--vcf", folder / "a.vcf", "--export", "bgen-1.2", "bits=8", "ref-first", "--out", folder / name)
    return 12


def uk_biobank_wgs(folder):
    for block in (2, 10):
        text = vcf_text("chr22", "GT", call, filters=("PASS", "LowGTR", "LowMLSQ"), first=10_000_000 + 1000 * block)
        write_bgzf(folder / f"ukb24311_c22_b{block}_v1.vcf.gz", text)
    return 4


def all_of_us(folder):
    for chromosome in ("chr1", "chr2"):
        (folder / "a.vcf").write_text(vcf_text(chromosome, "GT", call))
        plink2(
            "--vcf",
            folder / "a.vcf",
            "--make-pgen",
            "--output-chr",
            "chrM",
            "--out",
            folder / f"acaf_threshold.{chromosome}",
        )
    return 12


def genomics_england(folder):
    for first in (10_000_000, 20_000_000):
        text = vcf_text("chr22", "GT", call, filters=("PASS", "missingness;GQ"), first=first)
        text = text.replace(
            "##FILTER=<ID=missingness;GQ,", '##FILTER=<ID=missingness,Description="">\n##FILTER=<ID=GQ,'
        )
        write_bgzf(folder / f"gel_mainProgramme_aggV2_chr22_{first}_{first + 9}.vcf.gz", text)
    return 6


def with_depth(_=0):
    return f"{call()}:{int(RNG.integers(5, 60))}:{int(RNG.integers(4, 40))}:10,9"


def dragen(folder):
    for chromosome in ("chr1", "chr2"):
        write_bgzf(folder / f"cohort.{chromosome}.vcf.gz", vcf_text(chromosome, "GT:GQ:DP:AD", with_depth))
    return 12


def gvcf(folder):
    (folder / "persons").mkdir()
    for name in NAMES[:3]:
        text = vcf_text("chr1", "GT:GQ", lambda _: "0/1:50", names=[name], n=2)
        text += f"chr1\t10000021\t.\tA\t<NON_REF>\t.\t.\tEND=10000900\tGT:GQ\t0/0:40\n"  # noqa: F541
        write_bgzf(folder / "persons" / f"{name}.g.vcf.gz", text, index="tbi")
    return 2


def glnexus(folder):
    value = lambda r: ("./1:II", "0/1:..", "1/1:..")[int(RNG.integers(3))]  # noqa: E731
    vcf = folder / "cohort.vcf"
    vcf.write_text(vcf_text("chr1", "GT:RNC", value))
    write_bcf(folder / "cohort.bcf", vcf)
    return 6


def sake(folder):
    from real_data import real_data

    (folder / "sake").symlink_to(real_data("sake"))


def vcf_zarr(folder):
    write_bgzf(folder / "cohort.vcf.gz", vcf_text("chr1", "GT", call))
    ga.convert(folder / "cohort.vcf.gz", folder / "first.zarr")
    ga.export(folder / "first.zarr", folder / "cohort.vcz")
    return 6


def array(folder):
    lines = [f"{chromosome}\trs{chromosome}\t0\t{50 + i}\tC\tA" for i, chromosome in enumerate((1, 2, 23, 26))]
    write_fileset(folder / "array", random_codes(4, N), lines)
    (folder / "GRCh37.fa").write_text("".join(f">{name}\n{'A' * 200}\n" for name in ("1", "2", "X", "MT")))
    pysam.faidx(str(folder / "GRCh37.fa"))
    known = (
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "NC_000001.10\t50\trs1\tA\tC\t.\t.\t.\n"
    )
    write_bgzf(folder / "dbsnp.vcf.gz", known, index="tbi")
    return 4


# Source, by the beginning of its name: what makes the imitation (it returns how many variants the store is to have), and the format.
IMITATIONS = {
    "Michigan and TOPMed": (michigan, "VCF"),
    "Beagle": (beagle, "VCF"),
    "UK Biobank, imputed": (uk_biobank_imputed, "BGEN"),
    "UK Biobank, WGS": (uk_biobank_wgs, "VCF"),
    "All of Us": (all_of_us, "PGEN"),
    "Genomics England": (genomics_england, "VCF"),
    "DRAGEN, iterative": (dragen, "VCF"),
    "DRAGEN or GATK, gVCF": (gvcf, "VCF"),
    "GATK, joint": (dragen, "VCF"),
    "GLnexus": (glnexus, "BCF"),
    "SeqOIA": (sake, "sake"),
    "VCF Zarr": (vcf_zarr, "VCF Zarr"),
    "PLINK 1": (array, "BED"),
}


def test_every_source_has_an_imitation():
    assert len(COMMANDS) == len(IMITATIONS)
    assert all(sum(source.startswith(name) for source in COMMANDS) == 1 for name in IMITATIONS)


@pytest.mark.parametrize("name", IMITATIONS)
def test_the_command_reads_its_source(name, tmp_path, monkeypatch, genassoc):
    make, source = IMITATIONS[name]
    if source not in {known.name for known in SOURCES}:
        pytest.skip(f"{source} is not read yet")
    if source == "PGEN":
        pytest.importorskip("pgenlib", reason="pgenlib is not here")
    n_variants = make(tmp_path)
    (command,) = (words for found, words in COMMANDS.items() if found.startswith(name))
    monkeypatch.chdir(tmp_path)
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("genassoc", "convert")
    # as a shell gives them: chr10 before chr2
    words = [str(found) for word in words for found in (sorted(Path().glob(word)) if "*" in word else [word])]
    code, _, errors = genassoc(verb, *words)
    assert code == 0, errors
    out = next(word for word in words if word.endswith(".zarr"))
    store = ga.open_store(out)
    if n_variants is not None:
        assert store.n_variants == n_variants
    numbers = [int(re.sub(r"\D", "", contig) or 99) for contig, _, _ in store.contig_runs()]
    assert numbers == sorted(numbers)
    assert isinstance(store.variants(), pl.DataFrame)

"""The Python of docs/dosages.md, from top to bottom, on files as an imputation server writes them."""

import numpy as np
import pytest
from pages import run_page
from vcf_texts import write_bgzf

import genassoc as ga

N, V = 40, 60
HEADER = """##fileformat=VCFv4.2
##contig=<ID=chr{contig}>
##FILTER=<ID=LowQ,Description="">
##INFO=<ID=R2,Number=1,Type=Float,Description="">
##INFO=<ID=CSQ,Number=.,Type=String,Description="">
##FORMAT=<ID=GT,Number=1,Type=String,Description="">
##FORMAT=<ID=DS,Number=A,Type=Float,Description="">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="">
"""


def sample(rng, genotype):
    """A genotype imputed with some doubt; the three probabilities sum to 1 in thousandths."""
    doubt = int(rng.integers(0, 300))
    parts = [doubt // 2] * 3
    parts[genotype] = 1000 - 2 * (doubt // 2)
    dosage = parts[1] + 2 * parts[2]
    return f"{('0/0', '0/1', '1/1')[genotype]}:{dosage / 1000:.3f}:{','.join(f'{p / 1000:.3f}' for p in parts)}"


def imputed(contig):
    """Text of a VCF with GT, DS and GP of every sample; every tenth record has a stop, every seventh a filter."""
    rng = np.random.default_rng(contig)
    names = "\t".join(f"S{i}" for i in range(N))
    lines = [f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}"]
    for v in range(V):
        genotypes = rng.binomial(2, rng.uniform(0.2, 0.5), N)
        effect = "stop_gained" if v % 10 == 0 else "intron"
        fixed = (
            f"chr{contig}\t{1000 + v}\t.\tA\tG\t.\t{'LowQ' if v % 7 == 0 else 'PASS'}\tR2=0.9;CSQ={effect}\tGT:DS:GP"
        )
        lines.append("\t".join([fixed, *(sample(rng, g) for g in genotypes)]))
    return HEADER.format(contig=contig) + "\n".join(lines) + "\n"


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    for contig in (1, 2):
        write_bgzf(tmp_path / f"chr{contig}.dose.vcf.gz", imputed(contig))
    rng = np.random.default_rng(3)
    people = [f"S{i}\t{rng.normal():.4f}\t{rng.integers(20, 80)}\t{1 + i % 2}" for i in range(N)]
    (tmp_path / "phenotypes.tsv").write_text("\n".join(["IID\tldl\tage\tsex", *people]) + "\n")
    monkeypatch.chdir(tmp_path)
    names = run_page("dosages.md", 3)
    table, quality = names["results"].table, ga.variant_qc(names["cohort"])["info"]
    assert quality.len() == 2 * V and V < table.height == (quality >= 0.3).sum() < 2 * V
    assert (table["info"] >= 0.3).all() and (table["info_source"] == 0.9).all()
    assert (names["rows"].steps == 1000).all() and names["rows"].homozygous is not None
    assert capsys.readouterr().out == "DosageBlock 100\n"
    assert ga.variant_qc(names["stops"]).height == 2 * V // 10

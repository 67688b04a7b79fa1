"""Simulated genes: counts, annotations, planted effects, uneven coverage, files, and the same cohort each time."""

import re
import shutil
import subprocess

import numpy as np
import polars as pl
import pytest

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

N, CASES = 2000, 100


@pytest.fixture(scope="module")
def made():
    return ga.simulate_genes(
        N, 60, 20, n_cases=CASES, odds_ratio=20.0, n_chromosomes=2, x_genes=3, uneven_genes=1, seed=3
    )


@pytest.fixture(scope="module")
def codes(made):
    return np.concatenate([block.codes() for _, block in made.blocks()])


def copies(codes):
    """Copies of the rare allele."""
    observed = np.where(codes == 3, 0, codes).astype(int)
    flip = observed.sum(axis=1) > codes.shape[1]
    observed[flip] = np.where(codes[flip] == 3, 0, 2 - codes[flip].astype(int))
    return observed


def test_the_same_each_time_and_without_planting_the_same_genotypes(made, codes):
    again = ga.simulate_genes(
        N, 60, 20, n_cases=CASES, odds_ratio=20.0, n_chromosomes=2, x_genes=3, uneven_genes=1, seed=3
    )
    assert again.variants.equals(made.variants) and again.phenotypes.equals(made.phenotypes)
    assert (np.concatenate([block.codes() for _, block in again.blocks()]) == codes).all()
    none = ga.simulate_genes(N, 60, 20, n_cases=CASES, odds_ratio=None, n_chromosomes=2, x_genes=3, seed=3)
    assert none.truth.height == none.effects.height == 0
    assert none.variants.equals(made.variants)
    where = made.calls.uneven == 0
    assert (np.concatenate([block.codes() for _, block in none.blocks()]) == codes)[where].all()


def test_many_singletons_few_frequent_variants(made, codes):
    total = copies(codes).sum(axis=1)
    assert made.n_variants == codes.shape[0] == 63 * 20
    # k**-1.5 up to 40 copies: 44 % once; the standard error of a share of 1,260 is 0.014, missing calls hide a few
    assert abs((total == 1).mean() - 0.44) < 0.05
    assert 0.002 < (total > 40).mean() < 0.03
    # Monomorphic only where the one carrier was not observed.
    assert (total == 0).mean() < 0.02


def test_males_are_haploid_on_x(made, codes):
    on_x = (made.variants["chromosome"] == "X").to_numpy()
    male = (made.phenotypes["sex"] == 1).to_numpy()
    assert not (codes[np.ix_(on_x, male)] == 1).any() and (codes[np.ix_(on_x, ~male)] == 1).any()
    last = [block for variants, block in made.blocks() if variants["chromosome"][0] == "X"][-1]
    assert (np.unpackbits(last.haploid[0], bitorder="little", count=N).astype(bool) == male).all()


def test_annotations_name_each_variant_in_the_exons_it_lies_in(made):
    genes = {gene.set_id: gene for gene in made.models}
    joined = made.annotations.join(made.variants.drop("category"), on="variant_id")
    assert joined.height == made.annotations.height
    assert all(genes[g].coding(p) for g, p in joined.select("set_id", "base_pair_location").rows())
    positions = made.variants.select("chromosome", "base_pair_location")
    inside = sum(gene.coding(p) for gene in made.models for c, p in positions.rows() if c == gene.chromosome)
    assert inside == made.annotations.height >= made.n_variants  # overlapping genes share variants
    shift = made.annotations.filter(pl.col("consequence") == "frameshift_variant")["variant_id"]
    assert all(len(name.split("_")[2]) != len(name.split("_")[3]) for name in shift)


def test_csq_says_what_the_annotations_say(made):
    fields = re.search(r"Format: ([^\"]+)", made.info_fields[-1]).group(1).split("|")
    found = []
    for name, info in made.variants.select("variant_id", "info").rows():
        for entry in info.removeprefix("CSQ=").split(","):
            row = dict(zip(fields, entry.split("|"), strict=True))
            if row["CANONICAL"] == "YES":
                found.append((row["SYMBOL"], name, row["Consequence"]))
    expected = made.annotations.select("set_id", "variant_id", "consequence").rows()
    assert sorted(found) == sorted(expected)


def test_planted_genes(made, codes):
    assert made.phenotypes["disease"].sum() == CASES
    assert set(made.truth["kind"]) == {"burden", "skat"} and made.truth["set_id"].is_unique().all()
    place = {name: v for v, name in enumerate(made.variants["variant_id"])}
    case = (made.phenotypes["disease"] == 1).to_numpy()
    rare = copies(codes)

    def carriers(trait, kind, sign):
        rows = made.effects.join(made.truth.select("trait", "set_id", "kind"), on=["trait", "set_id"]).filter(
            trait=trait, kind=kind
        )
        own = [place[v] for v, e in rows.select("variant_id", "effect").rows() if np.sign(e) == sign]
        return rare[own].sum(axis=0)

    risk = carriers("disease", "burden", 1)
    # an odds ratio of 20: a carrier is a case with a probability near one half, others with one in twenty
    assert risk[case].mean() > 4 * risk[~case].mean()
    assert carriers("disease", "skat", -1)[case].mean() < carriers("disease", "skat", 1)[case].mean()
    level = made.phenotypes["biomarker"].to_numpy()
    assert level[carriers("biomarker", "skat", 1) > 0].mean() > level[carriers("biomarker", "skat", -1) > 0].mean() + 1
    drug = (made.phenotypes["arm"] == "drug").to_numpy()
    carrier, response = carriers("response", "burden", 1) > 0, made.phenotypes["response"].to_numpy()
    change = [response[carrier & arm].mean() - response[~carrier & arm].mean() for arm in (drug, ~drug)]
    # about 20 carriers an arm: standard error 0.22; effect 1 on the drug, 0 on placebo
    assert change[0] > 0.4 and abs(change[1]) < 0.66


def test_uneven_genes(made, codes):
    case, uneven = (made.phenotypes["disease"] == 1).to_numpy(), made.calls.uneven
    assert made.genes["uneven"].sum() == 1 and (uneven == 2).sum() == 1
    false = codes[uneven == 2][0]
    # binomials of 1,900 controls and 100 cases: standard errors 0.011 and 0.036
    assert abs((false[~case] == 3).mean() - 0.4) < 0.04 and (false[case] == 3).mean() < 0.05
    assert abs((false[case] == 1).mean() - 0.15) < 0.11 and (false[~case] == 1).mean() < 0.02


def test_files(made, tmp_path):
    paths = made.write_sets(tmp_path)
    lines = {name: path.read_text().splitlines() for name, path in paths.items()}
    assert len(lines["annotations"]) == made.annotations.height
    assert len(lines["sets"]) == made.genes.height == len(lines["groups"]) / 3
    assert sum(len(line.split()[3].split(",")) for line in lines["sets"]) == made.annotations.height
    assert [line.split()[0] for line in lines["masks"]] == ["pLoF", "pLoF_missense", "synonymous"]
    assert sum(line.split("\t")[2:3] == ["gene"] for line in lines["gtf"]) == made.genes.height
    variants, block = next(iter(made.blocks()))
    vcf = write_vcf(tmp_path / "c.vcf", made.sample_ids, made.contigs, [(variants, block)], fields=made.info_fields)
    if shutil.which("bcftools") is None:
        pytest.skip("bcftools is not installed; the VCF was not read by another program")
    query = ["bcftools", "query", "-f", "%INFO/CSQ\n", str(vcf)]
    read = subprocess.run(query, capture_output=True, text=True, check=True)
    assert read.stdout.splitlines() == [info.removeprefix("CSQ=") for info in variants["info"]]
    assert not read.stderr


@pytest.mark.parametrize(
    ("choices", "word"),
    [
        ({"n_samples": 10}, "n_samples"),
        ({"n_cases": 0}, "n_cases"),
        ({"odds_ratio": -1.0}, "odds_ratio"),
        ({"uneven_genes": 101}, "uneven_genes"),
        ({"n_genes": 3}, "n_genes"),
        ({"max_frequency": 0.5}, "max_frequency"),
        ({"missing_rate": 0.7}, "missing_rate"),
        ({"common_share": 1.5}, "common_share"),
    ],
)
def test_arguments_out_of_range(choices, word):
    with pytest.raises(ValueError, match=word):
        ga.simulate_genes(**choices)

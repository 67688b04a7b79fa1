# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Case-control: a disease with few cases
#
# Biobanks have many diseases with a hundred cases among ten thousand people, and many rare variants. That is
# where the quick test fails: it finds hits that are not there. This notebook shows how badly, what
# `ga.Logistic` does about it by default, and how to report the result. The cohort is simulated, so that we know
# what is true.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from scipy.stats import hypergeom

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

pl.Config.set_tbl_cols(12)
folder = Path("case_control")
folder.mkdir(exist_ok=True)

# %% [markdown]
# ## The cohort
#
# 6,000 people, 5,000 variants, more than half of them rarer than 1 %.

# %%
made = ga.simulate_cohort(6_000, 5_000, n_chromosomes=10, seed=4, missing_rate=0.0005, min_frequency=0.0003)
write_vcf(folder / "cohort.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=True)
store = ga.convert(folder / "cohort.vcf.gz", folder / "cohort.zarr", overwrite=True)
everybody = ga.Cohort.align(store, made.phenotypes, sample_id="IID", sex="sex")
quality = ga.variant_qc(everybody)
bins = quality["maf"].cut([0.001, 0.01, 0.05], labels=["< 0.1 %", "0.1 to 1 %", "1 to 5 %", "> 5 %"])
bins.value_counts(sort=True)

# %% [markdown]
# ## The disease
#
# About 1 % have it. It depends on age, on one common variant (odds ratio 3 a copy) and on one rare one (odds ratio 30;
# twenty carriers). Two more "diseases" are the same one dealt out anew at random: as many
# cases, and no variant has anything to do with them. Whatever is significant there is an error.

# %%
rng = np.random.default_rng(4)
common = int((quality["maf"] - 0.25).abs().arg_min())
rare = int((quality["mac"] - 20).abs().arg_min())
planted = quality.with_row_index("variant")[[common, rare]]
planted = planted.with_columns(effect=pl.Series([np.log(3), np.log(30)]))


def copies(variant):
    """Copies of ALT in everybody; a call that is not observed counts none."""
    codes = everybody.read(variant, variant + 1).codes()[0, everybody.block_columns]
    return np.where(codes == 3, 0, codes)


age = made.phenotypes["age"].fill_null(60).to_numpy()
log_odds = 0.04 * (age - 60) + np.log(3) * copies(common) + np.log(30) * copies(rare)
constant = next(c for c in np.arange(-4, -9, -0.01) if (1 / (1 + np.exp(-c - log_odds))).mean() < 0.01)
disease = (rng.random(age.size) < 1 / (1 + np.exp(-constant - log_odds))).astype(int)
null = [f"null{i}" for i in range(1, 3)]
phenotypes = made.phenotypes.with_columns(
    disease=pl.Series(disease), **{name: pl.Series(rng.permutation(disease)) for name in null}
)
phenotypes.write_csv(folder / "phenotypes.tsv", separator="\t", null_value="NA")
cohort = ga.Cohort.align(store, folder / "phenotypes.tsv", sample_id="IID", sex="sex")
disease.sum(), planted.select("variant", "rsid", "maf", "mac", "effect")

# %% [markdown]
# ## Were cases and controls genotyped alike?
#
# Look before any test. Cases often come from one clinic and one machine, controls from another; a variant that is called less often, or less well, in one of them looks like a difference
# between people. First the samples: share of calls missing, and heterozygosity.

# %%
samples = ga.sample_qc(cohort).join(phenotypes.select(sample_id="IID", disease="disease"), on="sample_id")
samples.group_by("disease").agg(
    n=pl.len(),
    missing_mean=pl.col("missing_rate").mean(),
    missing_most=pl.col("missing_rate").max(),
    heterozygosity=pl.col("heterozygosity").mean(),
).sort("disease")

# %% [markdown]
# Then the variants: missing calls among cases, given how many are missing in all. Were it a lot who lacks a call, 1 in 100 of them would be a case. Of 5,000 variants the smallest p by chance is near 1 / 5,000.

# %%
case, control = (ga.variant_qc(cohort.keep_samples(pl.col("disease") == status)) for status in (1, 0))
n_cases, n_all = int(disease.sum()), disease.size
missing = pl.DataFrame({"cases": n_cases - case["n"], "controls": n_all - n_cases - control["n"]})
lacking = missing["cases"].to_numpy(), (missing["cases"] + missing["controls"]).to_numpy()
p = hypergeom.sf(lacking[0] - 1, n_all, lacking[1], n_cases)
print(
    f"missing calls: {lacking[0].sum()} in cases, {lacking[1].sum() * n_cases / n_all:.0f} expected; smallest p {p.min():.1g}"
)

# %% [markdown]
# Alike, as they should be here. Had a variant a p far below 1 / 5,000, it would be left out with `cohort.keep_variants`, before its association is looked at; [06_genes](06_genes.ipynb) shows a gene that comes out for no other reason. In
# your data look at depth and imputation quality (INFO) by case status as well.
#
# ## Why the score test alone misleads
#
# The score test compares a sum over cases with its expectation, and takes it for normal. Two carriers of a rare
# allele among 60 cases are already far out: the sum is nearly always 0, now and then 1. Below, the two diseases
# that no variant causes: observed over expected numbers of p-values, for the score test alone and for the
# default.

# %%
covariates = ["age", "sex", "PC1:PC4"]
naive = ga.associate(cohort, ga.Logistic(null, covariates, correction=None))
default = ga.associate(cohort, ga.Logistic(null, covariates))


def excess(results, label):
    """Observed over expected p-values below some bounds."""
    logp = results.table["neg_log_10_p_value"].drop_nulls()
    return {"test": label, "n": len(logp)} | {f"p < 1e-{k}": (logp > k).sum() / (len(logp) * 10**-k) for k in (2, 3, 4)}


pl.DataFrame([excess(naive, "score alone"), excess(default, "default")])

# %% [markdown]
# The score test alone has many times the small p-values that chance allows, and the smaller the worse. The default has
# as many as expected or fewer; docs/calibration.md has the full account. (The last column is of one or two findings.)
#
# The picture: each bin of frequency by itself, for one of the null diseases.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained", sharey=True)
ga.plots.qq(naive, trait="null1", by="maf", ax=left, title="score alone")
ax = ga.plots.qq(default, trait="null1", by="maf", ax=right, title="default")

# %% [markdown]
# The flat steps at the left are rare variants of which no case carries a copy: they all have nearly the same p. A step is no fault; what counts is whether the dots leave the band at the right, as
# those of the score test do.
#
# Lambda does not show it. It is of the median, the same for both tests, and the fault is in the tail. (It is below 1 here, as often where few cases meet rare alleles: p is then discrete.)

# %%
naive.lambda_gc("null1"), default.lambda_gc("null1")

# %% [markdown]
# ## What the default does
#
# Every variant gets the score test. Rows below p = 0.05 are done again with Firth's penalised likelihood, which takes p from a
# likelihood ratio. Where there are fewer than 10 minor alleles, or fewer than 2 are expected in cases, an exact test is
# made instead: which carriers would be cases, given how many cases there are. `method` says which test made the row's p.

# %%
results = ga.associate(
    cohort, ga.Logistic("disease", covariates), out=folder / "disease.parquet", executor=ga.Threads(2), restart=True
)
results.table.group_by("method", "code").agg(pl.len(), pl.col("neg_log_10_p_value").max()).sort("len", descending=True)

# %% [markdown]
# Rows without an estimate say why: `too_few_carriers` is a minor allele count below 5 (`min_mac`). They never had a chance.

# %%
results.top(6).select(
    "variant_id",
    "mac",
    odds_ratio=pl.col("beta").exp().round(2),
    lower=pl.col("ci_lower").exp().round(2),
    upper=pl.col("ci_upper").exp().round(2),
    p=pl.col("neg_log_10_p_value").map_elements(lambda y: f"{10**-y:.1e}", pl.String),
    method="method",
    frequency_in_cases=pl.col("effect_allele_frequency_cases").round(4),
    in_controls=pl.col("effect_allele_frequency_controls").round(4),
)

# %%
alone = ga.associate(cohort, ga.Logistic("disease", covariates, correction=None))
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), width_ratios=(2, 1), layout="constrained")
ga.plots.manhattan(results, ax=left, title="disease, default")
ax = ga.plots.qq({"score alone": alone, "default": results}, ax=right, title="disease")

# %%
figure, ax = plt.subplots(figsize=(4.8, 4.8), layout="constrained")
ax = ga.plots.qq(results, by="method", ax=ax)

# %% [markdown]
# ## One variant, every test
#
# The two planted variants, and the two that the score test alone likes best among those that do nothing.

# %%
tested = alone.table.with_row_index("variant").filter(pl.col("mac") < 100, pl.col("variant") != rare)
first, second = tested.top_k(2, by="neg_log_10_p_value")["variant"]
names = {common: "common, planted", rare: "rare, planted", first: "does nothing (1)", second: "does nothing (2)"}
few = cohort.keep_variants(sorted(names))
choices = {
    "score alone": {"correction": None},
    "Wald": {"test": "wald", "correction": None},
    "likelihood ratio": {"test": "lrt", "correction": None},
    "Firth": {"correction": "firth", "correct_below": 1},
    "saddlepoint": {"correction": "spa", "correct_below": 1},
    "default": {},
    "as PLINK 2": {"like": "plink2"},
    "as REGENIE": {"like": "regenie"},
}
tables = []
for label, choice in choices.items():
    rows = ga.associate(few, ga.Logistic("disease", covariates, **choice)).table
    labels = pl.Series("variant", [f"{names[v]}, mac {mac:.0f}" for v, mac in zip(sorted(names), rows["mac"])])
    tables.append(rows.select(pl.lit(label).alias("choice"), labels, "beta", "neg_log_10_p_value", "method"))
every = pl.concat(tables)
every.pivot("variant", index="choice", values="neg_log_10_p_value")

# %% [markdown]
# And the estimates. A score row's beta is the first step of a fit; for a rare allele it can be far too large. Take effects from
# rows that were fitted. The truth is log 30 = 3.40 for the rare variant and log 3 = 1.10 for the common one.

# %%
every.pivot("variant", index="choice", values="beta")

# %% [markdown]
# - **The score alone** exaggerates wherever few minor alleles meet few cases, in p and in beta.
# - **Wald and the likelihood ratio** do so less. Where no case carries the allele, or every carrier is a case, they have no
#   finite estimate at all (code `not_converged`).
# - **Firth and the saddlepoint** are close to each other, and Firth gives the effect too. Where few alleles meet few cases they are
#   not close enough to the truth (compare "as REGENIE", where there is no exact test).
# - **The default is approximate Firth**: covariates and intercept stay at the null's. Strong effects of common alleles come
#   out too small. For the few rows that are reported, ask for the whole fit: `correction="firth", correct_below=1`.
# - **PLINK 2 and REGENIE** differ because they ask different questions; docs/like.md lists each.
#
# ## Look at the calls before believing a hit
#
# Bad calls depart from Hardy-Weinberg proportions. In cases a true effect does so as well: test the controls.

# %%
checked = ga.variant_qc(few, cases="disease")
checked.select("rsid", "n_het", "n_hom_alt", "missing_rate", "hwe_p", "hwe_p_controls")

# %% [markdown]
# ## Report
#
# What others need to use the result: the effect allele, the effect with a standard error that goes with p, cases and
# controls in each row, how p was made, covariates, and the genome build. `standard_error` is such that
# beta / standard_error is the z of the row's p, as a meta-analysis by inverse variance assumes; the curvature of the
# likelihood is in `standard_error_model`. GWAS-SSF, the format of the GWAS Catalog, has a place for all:

# %%
written = results.write(
    folder / "disease.tsv.gz",
    dialect="gwas-ssf",
    metadata={"genome_assembly": "GRCh38", "trait_description": ["simulated disease"]},
)
print(*written, sep="\n")
print((folder / "disease.tsv.gz-meta.yaml").read_text())

# %% [markdown]
# Rows that the format cannot hold, those without an estimate, are beside it with the reason. And in a paper: "Variants were
# tested by score tests, those with p < 0.05 by approximate Firth regression (penalised likelihood ratio), those with
# fewer than 10 minor alleles or fewer than 2 expected in cases by an exact conditional test; adjusted for age, sex and four principal components",
# with the numbers of cases and controls. The provenance holds every choice:

# %%
print(*results.provenance["notes"], sep="\n")
results.provenance["parameters"]["model"]

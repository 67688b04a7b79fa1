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
# # A first GWAS
#
# From a VCF and a table of phenotypes to a Manhattan plot. Twelve lines do it, in a minute on a laptop; to read what they did takes ten. The cohort is simulated (three ancestries,
# linkage disequilibrium, planted effects), so that we can look at the truth in the end.
#
# ## A cohort to practise on
#
# 2,000 samples, 20,000 variants on 22 chromosomes. The same seed gives the same cohort. With your own data, leave this cell out and put your files' names into the next one.

# %%
from pathlib import Path

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

Path("first_gwas").mkdir(exist_ok=True)
made = ga.simulate_cohort(n_samples=2000, n_variants=20_000, seed=20)
file = write_vcf("first_gwas/cohort.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=True)
made.phenotypes.write_csv("first_gwas/phenotypes.tsv", separator="\t", null_value="NA")
made.phenotypes.head()

# %% [markdown]
# ## Twelve lines

# %%
import genassoc as ga
import matplotlib.pyplot as plt

store = ga.convert("first_gwas/cohort.vcf.gz", "first_gwas/cohort.zarr", overwrite=True)
cohort = ga.Cohort.align(store, "first_gwas/phenotypes.tsv", sample_id="IID", sex="sex")
cohort = cohort.keep_variants(ga.variants.maf_above(0.01) & ga.variants.missing_below(0.05))
model = ga.Linear(traits=["ldl"], covariates=["age", "sex", "statin", "PC1:PC4"])
results = ga.associate(cohort, model, out="first_gwas/ldl.parquet", restart=True)
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4), width_ratios=[3, 1], layout="constrained")
ga.plots.manhattan(results, ax=left)
ga.plots.qq(results, ax=right)
file = results.write("first_gwas/ldl.tsv.gz", overwrite=True)

# %% [markdown]
# Each dot on the left is a variant, as high as its p is small: at 8 on the axis p is 1e-8. Above the dashed line p is below 5e-8, the usual threshold of a whole genome. On the right the p-values are held against those of
# chance. The dots should follow the line, and leave it only at the end, where the true effects are.
#
# What follows looks at each line in turn.
#
# ## Convert
#
# Once. The store keeps two bits a call, compressed and checksummed; from here on the VCF is not needed. A conversion that was killed carries on when it is run again, and one that is done is not done again
# (`overwrite=True` does it again all the same).

# %%
print(store)
store.variants(0, 5)

# %% [markdown]
# ## Align
#
# Samples are matched by id. Nothing is lost silently: the ledger has every sample and every variant, kept, or dropped and why.

# %%
print("\n".join(cohort.summary_lines()))
cohort.ledger.group_by("kind", "status", "reason").len().sort("kind", "status")

# %% [markdown]
# ## Filter
#
# Filters are polars expressions. They read nothing by themselves: the association run applies them to each block. Look at the numbers before you choose them.

# %%
quality = ga.variant_qc(ga.Cohort.align(store, "first_gwas/phenotypes.tsv", sample_id="IID", sex="sex"))
quality.select("maf", "missing_rate", "hwe_p").describe()

# %% [markdown]
# Small Hardy-Weinberg p are no surprise here: the cohort mixes three ancestries, so heterozygotes are too few wherever frequencies differ. In a cohort of one ancestry they point at bad calls
# (`ga.variants.hwe_above(1e-6)`).
#
# ## Associate
#
# LDL cholesterol at the end of a trial, adjusted for age, sex, treatment and four principal components, which stand for ancestry. With `out=` the rows go to a file as they are computed, and an interrupted run carries on;
# without it they live as long as `results`. `beta` is the effect of one more copy of the effect allele, the last part of the variant's id, in mmol/L.

# %%
results.top(10).select("variant_id", "rsid", "beta", "standard_error", "neg_log_10_p_value", "n")

# %% [markdown]
# Are the p-values inflated? Lambda is the median test statistic over that of chance; 1 is not at all. A little above it is no fault here: besides the large effects, 300 small ones were planted, and true effects
# raise lambda too. What became of all variants is in the ledger.

# %%
print(f"lambda = {results.lambda_gc():.3f}")
results.ledger

# %% [markdown]
# ## One hit, in words
#
# `ga.explain` fits one row again in full, beside statsmodels, and says what it means and what it does not.

# %%
hit = ga.explain(results, results.top(1)["variant_id"][0], by="statin")
print(hit.text)
figure = hit.figure()

# %% [markdown]
# ## The truth
#
# The planted effects on LDL beside what was estimated. Where the planted variant was filtered out, or its effect is too small for 2,000 samples, there is no estimate or no small p.

# %%
import polars as pl

planted = made.truth.filter((pl.col("trait") == "ldl") & (pl.col("term") == "main"))
estimated = results.table.select("variant_id", "beta", "standard_error", "neg_log_10_p_value")
truth = planted.select("variant_id", "effect").join(estimated, on="variant_id", how="left")
truth.sort("neg_log_10_p_value", descending=True, nulls_last=True)

# %% [markdown]
# ## What produced it
#
# Beside the table lies its provenance: every choice, the inputs with their fingerprints, versions, time and memory. For a pipeline, the same run is `genassoc run gwas.toml`, with the same bytes in the end; see docs/running.md.

# %%
results.provenance["parameters"]

# %% [markdown]
# ## What next
#
# - A disease instead of a quantity, few cases: [02_case_control](02_case_control.ipynb).
# - A trial, does genotype change what a drug does: [03_clinical_trial](03_clinical_trial.ipynb).
# - Families and several ancestries: [04_relatives_and_ancestry](04_relatives_and_ancestry.ipynb).
# - More than one machine: [05_on_a_cluster](05_on_a_cluster.ipynb).
# - Rare variants, gene by gene: [06_genes](06_genes.ipynb).

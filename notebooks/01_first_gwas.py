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
# From a VCF and a table of phenotypes to a Manhattan plot, in a minute on a laptop. The cohort is
# simulated (three ancestries, linkage disequilibrium, planted effects), so that we can look at the truth
# in the end. With your own data, begin at "Convert".

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

folder = Path("first_gwas")
folder.mkdir(exist_ok=True)

# %% [markdown]
# ## A cohort to practise on
#
# 2,000 samples, 20,000 variants on 22 chromosomes. The same seed gives the same cohort.

# %%
cohort_made = ga.simulate_cohort(n_samples=2000, n_variants=20_000, seed=20)
write_vcf(folder / "cohort.vcf.gz", cohort_made.sample_ids, cohort_made.contigs, cohort_made.blocks(), index=True)
cohort_made.phenotypes.write_csv(folder / "phenotypes.tsv", separator="\t", null_value="NA")
cohort_made.phenotypes.head()

# %% [markdown]
# ## Convert
#
# Once. The store keeps two bits a call, compressed and checksummed; from here on the VCF is not needed. A
# conversion that was killed carries on when run again, and one that is done is not done again.

# %%
store = ga.convert(folder / "cohort.vcf.gz", folder / "cohort.zarr", overwrite=True)
print(store)

# %%
store.variants(0, 5)

# %% [markdown]
# ## Align
#
# Samples are matched by id. Nothing is lost silently: the ledger has every sample and every variant,
# kept, or dropped and why.

# %%
cohort = ga.Cohort.align(store, folder / "phenotypes.tsv", sample_id="IID", sex="sex")
print("\n".join(cohort.summary_lines()))
cohort.ledger.group_by("kind", "status", "reason").len().sort("kind", "status")

# %% [markdown]
# ## Quality control
#
# Look at the numbers before choosing filters.

# %%
quality = ga.variant_qc(cohort)
quality.select("maf", "missing_rate", "hwe_p").describe()

# %% [markdown]
# Small Hardy-Weinberg p are no surprise here: the cohort mixes three ancestries, so heterozygotes are too
# few wherever frequencies differ. In a cohort of one ancestry they point at bad calls
# (`ga.variants.hwe_above(1e-6)`).
#
# Filters are polars expressions. They read nothing now: the association run applies them to each block.

# %%
cohort = cohort.keep_variants(ga.variants.maf_above(0.01) & ga.variants.missing_below(0.05))
print("\n".join(cohort.summary_lines()))

# %% [markdown]
# ## Associate
#
# LDL cholesterol at the end of the trial, adjusted for age, sex, treatment and four principal components
# (they stand for ancestry: leave them out, and look at the QQ plot). With `out=` the rows stream to a
# file, and an interrupted run carries on; without it they live as long as `results`.

# %%
model = ga.Linear(traits=["ldl"], covariates=["age", "sex", "statin", "PC1:PC4"])
results = ga.associate(cohort, model, out=folder / "ldl.parquet", executor=ga.Threads(2), restart=True)
results.top(10).select("variant_id", "rsid", "beta", "standard_error", "neg_log_10_p_value", "n")

# %% [markdown]
# What became of the variants, and whether the p-values are inflated (1 is none):

# %%
print(f"lambda_GC = {results.lambda_gc():.3f}")
results.ledger.head()

# %%
figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
ax = ga.plots.manhattan(results, ax=ax)

# %%
figure, ax = plt.subplots(figsize=(4.6, 4.6), layout="constrained")
ax = ga.plots.qq(results, ax=ax)

# %% [markdown]
# ## The truth
#
# The planted effects on LDL beside what was estimated. Where the planted variant itself was filtered out,
# or its effect is too small for 2,000 samples, there is no estimate or no small p.

# %%
planted = cohort_made.truth.filter((pl.col("trait") == "ldl") & (pl.col("term") == "main"))
estimated = results.table.select("variant_id", "beta", "standard_error", "neg_log_10_p_value")
truth = planted.select("variant_id", "effect").join(estimated, on="variant_id", how="left")
truth.sort("neg_log_10_p_value", descending=True, nulls_last=True)

# %% [markdown]
# ## What produced it
#
# Beside the table lies its provenance: every choice, the inputs with their fingerprints, versions, time
# and memory. For a pipeline, the same run is `genassoc run gwas.toml`, with the same bytes in the end;
# see docs/running.md.

# %%
results.provenance["parameters"]
